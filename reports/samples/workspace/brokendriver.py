"""A driver whose way back fails: what it switches off, it cannot switch on again."""

from pathlib import Path

OFF = Path(__file__).with_name("switched-off")


def switch_off() -> str:
    OFF.touch()
    return "switched off"


def is_off() -> bool:
    return OFF.exists()


def switch_on() -> None:
    raise RuntimeError("the switch does not answer")
