"""What an endpoint serves: its answers against a reference and a ladder of variants made from it."""
