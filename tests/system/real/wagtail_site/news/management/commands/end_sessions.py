"""End all sessions of a user, as an administrator does who locks an account."""

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("user")

    def handle(self, *, user, **options):
        key = str(get_user_model().objects.get(username=user).pk)
        for session in Session.objects.all():
            if session.get_decoded().get("_auth_user_id") == key:
                session.delete()
