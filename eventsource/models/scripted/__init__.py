"""Models that say what a script tells them to: for tests, demonstrations, and trying things without a key."""

from .model import ScriptedModel, scripted
from .script import Answer, call, fail, stop

__all__ = ["Answer", "ScriptedModel", "call", "fail", "scripted", "stop"]
