"""What importing costs, seen from a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "numpy", "scipy", "altair", "pandas", "sqlalchemy", "httpx", "rich")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_import_bitproof_loads_nothing_heavy():
    assert not loaded_by("import bitproof").intersection(HEAVY)


def test_types_and_errors_load_no_torch():
    assert "torch" not in loaded_by("import bitproof.types, bitproof.errors")


def test_an_audit_loads_no_torch():
    """It compares logprobs with a profile: a person without the weights needs numpy, scipy and an HTTP client."""
    audit = "import bitproof.audit.audit, bitproof.audit.profile, bitproof.engines.http, bitproof.report.audit_terminal"
    assert not loaded_by(audit).intersection({"torch", "transformers", "safetensors", "sqlalchemy", "altair"})


def test_help_loads_nothing_heavy():
    assert not loaded_by("from bitproof.cli.main import run; run(['--help'])").intersection(HEAVY)


def test_unknown_member_is_an_attribute_error():
    import bitproof

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = bitproof.nonsense
