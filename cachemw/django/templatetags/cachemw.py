"""The tag `{% hole "basket" %}`, after `{% load cachemw %}`: a piece for one client."""

from __future__ import annotations

from django import template

from cachemw import hole

__all__ = ["register"]

register = template.Library()
register.simple_tag(hole)
