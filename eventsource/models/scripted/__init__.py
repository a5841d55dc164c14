"""Models that say what a script tells them to: for tests, demonstrations, and trying things without a key."""

from .model import ScriptedModel, scripted
from .rules import Rule, When, rule
from .script import Answer, call, fail, stop

__all__ = ["Answer", "Rule", "ScriptedModel", "When", "call", "fail", "rule", "scripted", "stop"]
