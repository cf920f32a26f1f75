"""Texts with known labels: eight tasks of eight labels, each label with two plain and two subtle texts.

A plain text names its label or says it in other words; a subtle one lets it be concluded. {name}, {thing}, {place} and
{n} are filled in. `opening` sentences say nothing of the label; `aside` mentions another label that does not apply.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TASKS", "Task", "Texts"]

Texts = tuple[str, str, str, str]  # plain, plain, subtle, subtle


@dataclass(frozen=True)
class Task:
    """One question about texts, and its labels."""

    question: str
    what: str  # what the text is called: "Message"
    opening: tuple[str, ...]
    aside: str
    labels: dict[str, Texts]


TASKS = {
    "intent": Task(
        "What does the customer want?",
        "Message",
        ("Hello, this is {name}.", "Good morning from {place}.", "My customer number is {n}.", "I have a request."),
        "Last year I wrote to you about something else ({aside}), and that is settled.",
        {
            "cancel order": (
                "Please cancel my order of the {thing}.",
                "I want to cancel: do not send the {thing} any more.",
                "I have found the {thing} in a shop here, so there is no need to pack yours; it has not left you yet.",
                "Nothing has been shipped so far, right? Then let us forget about the {thing}.",
            ),
            "track delivery": (
                "Where is my parcel with the {thing}?",
                "Please tell me when the {thing} will be delivered.",
                "The {thing} was sent on Monday, and I have been looking out of the window since.",
                "Your driver was expected with the {thing} yesterday; should I stay at home today?",
            ),
            "refund": (
                "I want my money back for the {thing}.",
                "Please refund the price of the {thing}.",
                "I returned the {thing} three weeks ago, and my account still shows nothing.",
                "You charged the card twice for one {thing}; kindly put that right.",
            ),
            "change address": (
                "I have moved: please change my address to 12 Mill Lane, {place}.",
                "Please update my address in your records.",
                "From the first of the month I live in {place}, so letters to the old flat will not reach me.",
                "The house number in my profile is that of my neighbour.",
            ),
            "report defect": (
                "The {thing} is broken: it does not switch on.",
                "I have to report a defect: the {thing} has a crack.",
                "After two days the {thing} gives off smoke.",
                "Since this morning the {thing} only blinks red, whatever I press.",
            ),
            "ask opening hours": (
                "When does your shop in {place} open?",
                "What are your opening hours on Saturday?",
                "I finish work at seven; would I still find anybody in your shop in {place}?",
                "Is there any point in coming by on a Sunday?",
            ),
            "reset password": (
                "I forgot my password, please reset it.",
                "Please send me a link to set a new password.",
                "I cannot get into my profile: the word I used for years is no longer accepted.",
                "My daughter typed nonsense into the login three times, and now I am locked out.",
            ),
            "book appointment": (
                "I would like to book an appointment for next week.",
                "Can I have an appointment with an adviser on Thursday?",
                "Would one of your advisers in {place} have half an hour for me on Friday?",
                "I would come in on Tuesday at ten for a consultation, if that slot is free.",
            ),
        },
    ),
    "topic": Task(
        "What is the article about?",
        "Article",
        (
            "{place}, Monday.",
            "{name} reports from {place}.",
            "By our correspondent in {place}.",
            "{n} people read this.",
        ),
        "This text replaces an earlier one on {aside}.",
        {
            "sports": (
                "The football team of {place} won the match 3 to 1.",
                "The sports club of {place} celebrates its champion in swimming.",
                "In the last minute {name} put the ball into the net, and the stands shook.",
                "{name} needed 2 hours and 9 minutes for the 42 kilometres and collapsed behind the line.",
            ),
            "politics": (
                "Parliament voted on the new law, and the minister resigned.",
                "Before the election the parties in {place} argue about the government.",
                "{name} lost the chamber by two votes and will have to form another coalition.",
                "The mayor of {place} will not run for a second term.",
            ),
            "science": (
                "Scientists in {place} discovered a new particle in an experiment.",
                "A study by physicists of the University of {place} tests a theory.",
                "The telescope near {place} has seen light that is older than the Earth.",
                "{name} kept the cells alive under the microscope for a year and saw how they divide.",
            ),
            "weather": (
                "Rain and strong wind are forecast for {place}.",
                "Tomorrow the weather in {place} will be sunny and warm.",
                "Whoever is in {place} tomorrow should leave the umbrella at home but take a hat.",
                "A low from the west arrives in the night, and the roads around {place} may freeze.",
            ),
            "economy": (
                "Inflation rises, and the central bank raises interest rates.",
                "The economy of {place} grows: exports and wages went up.",
                "Shares of the maker of the {thing} lost a fifth of their value on Friday.",
                "{name} has to let half of the staff go, because orders from abroad stay away.",
            ),
            "culture": (
                "The theatre in {place} opens the season with an opera.",
                "An exhibition of paintings by {name} is shown in the museum of {place}.",
                "After the last note there was silence in the hall, then {name} bowed.",
                "In her third novel {name} tells of a family in {place}.",
            ),
            "health": (
                "Doctors in {place} recommend a vaccination against flu.",
                "A healthy diet lowers the risk of heart disease, doctors say.",
                "Wards in {place} are full, and coughing can be heard in every corridor.",
                "Whoever sleeps less than six hours pays for it with blood pressure, says {name}.",
            ),
            "travel": (
                "Tourists love {place}: tips for hotels and sights.",
                "A travel guide to {place}: the best beaches and how to get there.",
                "Three days are enough for {place}, if you leave your suitcase at the station.",
                "From the old harbour of {place} a boat takes you to bays where nobody else swims.",
            ),
        },
    ),
    "emotion": Task(
        "Which feeling does the writer express?",
        "Diary",
        ("Today I was in {place}.", "{name} was there too.", "It is nine in the evening.", "Page {n} of this diary."),
        "{name} says that it was {aside} in their case, but not in mine.",
        {
            "joy": (
                "I am so happy, what a wonderful day!",
                "I laughed and danced for joy.",
                "They said yes! I ran through the whole house singing.",
                "I could not stop smiling all the way home.",
            ),
            "anger": (
                "I am furious at {name}.",
                "It makes me so angry that I could shout.",
                "I slammed the door so hard that the glass broke.",
                "How dare {name} go through my letters!",
            ),
            "fear": (
                "I am terrified of tomorrow.",
                "I was so afraid that I trembled.",
                "There were steps behind me in the dark, and I held my breath until they passed.",
                "I checked the lock four times and still did not dare to switch the lamp off.",
            ),
            "sadness": (
                "I am so sad that I cried all day.",
                "My heart is heavy with grief.",
                "The bowl of our old dog is still in the kitchen; I cannot bring myself to put it away.",
                "I set the table for two again, and then sat there with wet eyes.",
            ),
            "surprise": (
                "What a surprise, I did not expect that at all!",
                "I was astonished and could not believe it.",
                "Of all people {name} stood there, whom I believed to be on the other side of the world.",
                "My jaw dropped when the envelope turned out to be from {name}.",
            ),
            "disgust": (
                "It was disgusting, I felt sick.",
                "How revolting, I had to turn away.",
                "Something with many legs swam in the soup, and I had already eaten half of it.",
                "The smell from the fridge made my stomach turn.",
            ),
            "gratitude": (
                "I am so grateful to {name} for the help.",
                "Thank you, {name}, thank you for everything.",
                "Without {name} I would have lost the house; I shall never be able to repay that.",
                "I must find a way to show {name} what those hours at my bedside meant to me.",
            ),
            "boredom": (
                "I was so bored, nothing happened at all.",
                "What a boring, dull day.",
                "I counted the tiles of the ceiling twice, and the clock had moved by six minutes.",
                "The speech went on and on; I drew squares on my programme.",
            ),
        },
    ),
    "mail": Task(
        "What kind of e-mail is this?",
        "E-mail",
        ("Dear {name},", "Hello {name},", "Good day,", "To {name} in {place}:"),
        "(Your folder for {aside} is empty.)",
        {
            "advertisement": (
                "Buy now: 50 percent off every {thing} in our sale!",
                "Special offer: our new {thing}, order today!",
                "Why should you be the only one in {place} without a {thing}? Until Sunday the second one is free.",
                "Your old {thing} has earned its rest. Come and meet its successor in our shop.",
            ),
            "phishing": (
                "Your bank account is blocked. Click this link and enter your PIN and password.",
                "You have won! Send us your card number and password to receive the prize.",
                "This is your bank. For a safety check, reply with the six digits you use at the cash machine.",
                "We noticed a strange login. Confirm who you are at http://bank-secure.{n}.example within one hour.",
            ),
            "invoice": (
                "Invoice no. {n}: the amount of $340 is due within 14 days.",
                "Attached is the invoice for the {thing}; please pay $89 by bank transfer.",
                "For the {thing} delivered on 3 May we ask for $340, payable to the account below.",
                "Labour 3 hours, material $45, tax 19 percent: kindly settle this by the end of the month.",
            ),
            "invitation": (
                "You are invited to our wedding in {place}.",
                "We would like to invite you to our summer party on Saturday.",
                "On Saturday we turn sixty together, and there is a chair for you in the garden. Will you come?",
                "Keep the evening of the 14th free: we are opening the new studio with music and wine.",
            ),
            "job application": (
                "I am applying for the position of engineer; my CV is attached.",
                "Please accept my application for the job in {place}.",
                "You are looking for a cook: I have stood in kitchens for ten years. May I introduce myself?",
                "Attached you find my certificates; I could start in {place} on the first of March.",
            ),
            "complaint": (
                "I want to complain: the service in your shop was terrible.",
                "This is a complaint about the noise in your hotel.",
                "Two hours we waited, then the soup was cold, and nobody said sorry.",
                "For the third time your workmen have left their rubbish at my door. This has to stop.",
            ),
            "condolence": (
                "Please accept our condolences on the death of your father.",
                "We are deeply sorry for your loss and mourn with you.",
                "We heard about your mother and are with you in these days.",
                "He taught us all to sail. The harbour will be empty without him, and our thoughts are with you.",
            ),
            "absence notice": (
                "I am out of the office until 12 June and will reply when I return.",
                "Automatic reply: I am on holiday and not reading e-mails.",
                "Thank you for writing. From the 12th I shall be at my desk again; until then ask {name}.",
                "Your message has arrived, but I am in the mountains without a network for two weeks.",
            ),
        },
    ),
    "urgency": Task(
        "Today is Tuesday, 3 March. By when must this be dealt with?",
        "Note",
        ("From {name}.", "It is eight in the morning.", "Concerns the {thing}.", "Room {n}."),
        'The stamp "{aside}" on the back belongs to another note.',
        {
            "within the hour": (
                "This must be done within the hour.",
                "Please do it at once, in the next 30 minutes at the latest.",
                "The basin runs over in about forty minutes if nobody closes the valve.",
                "The plane with the {thing} takes off in fifty minutes, and the papers are still here.",
            ),
            "today": (
                "This has to be finished today.",
                "The deadline is today at midnight.",
                "The office that accepts the form closes at five this afternoon and will not take it later.",
                "Guests arrive tonight at eight, and the {thing} should be in place by then.",
            ),
            "tomorrow": (
                "This has to be done tomorrow.",
                "The deadline is tomorrow at noon.",
                "The ship sails in a little more than 24 hours, and the {thing} must be aboard.",
                "One night may pass over it, not two.",
            ),
            "this week": (
                "This has to be finished this week.",
                "The deadline is the end of this week.",
                "Three or four days are left until the hall is needed; it need not be right away.",
                "The auditors come on Saturday, and everything has to be in order when they arrive.",
            ),
            "this month": (
                "This has to be done this month.",
                "The deadline is the end of this month.",
                "The contract runs out in three and a half weeks; until then it has to be renewed.",
                "There are still twenty-five days before the fee for the {thing} goes up.",
            ),
            "this year": (
                "This has to be done some time this year.",
                "The deadline is 31 December of this year.",
                "Before the next New Year's Eve the roof should be repaired; the season does not matter.",
                "The permit for the {thing} lapses in about nine months.",
            ),
            "no deadline": (
                "There is no deadline for this.",
                "Do it whenever you like, there is no date.",
                "If somebody happens to be bored: the {thing} could be painted one day. Nobody waits for it.",
                "It would be nice to have this at some point, and nothing happens if it never comes.",
            ),
            "already too late": (
                "The deadline has passed, it is too late now.",
                "This should have been done last week; it is too late.",
                "The train with the {thing} left an hour ago, and there is no other.",
                "The bids were opened on Monday, and ours was still lying here.",
            ),
        },
    ),
    "language": Task(
        "Which foreign language is this?",
        "Text",
        ("{name} writes:", "On a postcard from {place}:", "Heard in room {n}:", "A note on the {thing}:"),
        "(It is no translation from {aside}.)",
        {
            "German": (
                "Ich habe heute keine Zeit, aber morgen komme ich gern.",
                "Das Wetter ist schön, und wir gehen in den Garten.",
                "Alles gut soweit.",
                "Bis bald im Winter!",
            ),
            "French": (
                "Je n'ai pas le temps aujourd'hui, mais je viendrai demain.",
                "Il fait beau et nous allons dans le jardin.",
                "Rien de grave.",
                "À bientôt, cet hiver !",
            ),
            "Spanish": (
                "Hoy no tengo tiempo, pero mañana vengo con mucho gusto.",
                "Hace buen tiempo y vamos al jardín.",
                "Todo bien por aquí.",
                "¡Hasta pronto, en invierno!",
            ),
            "Italian": (
                "Oggi non ho tempo, ma domani vengo volentieri.",
                "Il tempo è bello e andiamo in giardino.",
                "Niente di grave.",
                "A presto, quest'inverno!",
            ),
            "Dutch": (
                "Ik heb vandaag geen tijd, maar morgen kom ik graag.",
                "Het weer is mooi en we gaan naar de tuin.",
                "Alles goed hier.",
                "Tot gauw in de winter!",
            ),
            "Polish": (
                "Dzisiaj nie mam czasu, ale jutro chętnie przyjdę.",
                "Pogoda jest ładna i idziemy do ogrodu.",
                "Wszystko w porządku.",
                "Do zobaczenia w zimie!",
            ),
            "Swedish": (
                "Jag har inte tid i dag, men i morgon kommer jag gärna.",
                "Vädret är fint och vi går ut i trädgården.",
                "Allt är bra här.",
                "Vi ses snart i vinter!",
            ),
            "Portuguese": (
                "Hoje não tenho tempo, mas amanhã venho com muito gosto.",
                "O tempo está bom e vamos para o jardim.",
                "Tudo bem por aqui.",
                "Até breve, no inverno!",
            ),
        },
    ),
    "trade": Task(
        "Which craftsman is needed?",
        "Call",
        (
            "{name} calls from {place}.",
            "Flat {n}, second floor.",
            "It began on Sunday.",
            "The {thing} is not affected.",
        ),
        "(We had a different one, the {aside}, here in spring.)",
        {
            "plumber": (
                "The water pipe in the bathroom leaks.",
                "The toilet is blocked, and the tap drips.",
                "When the neighbours take a shower, our kitchen floor gets wet.",
                "Whatever I pour into the sink comes up again in the bath.",
            ),
            "electrician": (
                "The socket sparks, and there is no power in the kitchen.",
                "The light switch and the fuse do not work, we need new wiring.",
                "As soon as the oven and the kettle run together, half the flat goes dark.",
                "I get a slight tingle whenever I touch the lamp.",
            ),
            "carpenter": (
                "The wooden stairs creak, and a new wooden shelf is to be built.",
                "We need a made-to-measure cupboard of oak.",
                "Two of the oak steps down to the cellar have cracked right through.",
                "The beam above the barn door has worms and has to be replaced by a sound one.",
            ),
            "painter": (
                "The walls of the living room need new paint.",
                "Please paint the hall white.",
                "The former tenant loved purple; our children's room should be lighter.",
                "The colour is flaking off the facade, though the plaster below is sound.",
            ),
            "locksmith": (
                "I lost my key and cannot open the front door.",
                "The lock of the door is stuck, I need a new lock.",
                "The wind has shut the door behind me, and I stand here in my socks.",
                "Our old flatmate never gave his keys back, and we no longer want him to get in.",
            ),
            "roofer": (
                "The storm tore tiles off the roof.",
                "The roof leaks, the tiles have to be replaced.",
                "In the attic you can see the sky between the beams.",
                "Since the hail there are clay pieces in the yard, and the attic is damp.",
            ),
            "gardener": (
                "The hedge must be cut and the lawn mown.",
                "We want new flower beds and a tree in the garden.",
                "By now you cannot see our house from the road for all the ivy and brambles.",
                "The apple trees have not been pruned for years.",
            ),
            "glazier": (
                "A window pane is broken, we need new glass.",
                "The glass of the shop window has a crack.",
                "The boys next door play football well, but not precisely: there is a draught in the bedroom now.",
                "Between the two panes of the bedroom window it is always misty.",
            ),
        },
    ),
    "review": Task(
        "What does the review criticize?",
        "Review",
        ("I bought the {thing} in {place}.", "{name} recommended it.", "I have owned it for {n} days.", "Two stars."),
        "I have no objection to its {aside}.",
        {
            "price": (
                "It is far too expensive.",
                "The price is much too high.",
                "For this sum I could have bought three of another make that do the same.",
                "My wallet has not recovered yet.",
            ),
            "durability": (
                "It broke after a week, it does not last.",
                "Not durable at all: it fell apart within days.",
                "In March I unpacked it, in April the second hinge came off in my hand.",
                "My old one served for twenty years; this one did not see its first birthday.",
            ),
            "delivery": (
                "Delivery took six weeks, much too late.",
                "The delivery was slow, and the parcel went to the wrong house.",
                "It was meant for Christmas and arrived at Easter.",
                "The courier threw it over the fence, into the pond.",
            ),
            "customer service": (
                "Customer service was rude and did not help.",
                "The support staff never answer the phone.",
                "Forty minutes of music, then a bored voice that hung up on me.",
                "I wrote five times and got five times the same sentence back.",
            ),
            "size": (
                "It is much too small.",
                "The size is wrong, it is far too big.",
                "I had to take the door off to get it into the room.",
                "My son is two years old, and already it pinches him everywhere.",
            ),
            "noise": (
                "It is terribly loud.",
                "The noise it makes is unbearable.",
                "When it runs, the neighbours knock on the wall.",
                "You have to leave the room if you want to make a telephone call.",
            ),
            "battery life": (
                "The battery is empty after one hour.",
                "Battery life is very poor.",
                "Between breakfast and lunch it has to go back to the charger.",
                "I never get from {place} to work and back without a power socket on the way.",
            ),
            "instructions": (
                "The manual is impossible to understand.",
                "The instructions are missing half of the steps.",
                "Step 4 follows on step 2, and the drawing shows another model.",
                "It took two engineers and an evening to find out what the leaflet means.",
            ),
        },
    ),
}
