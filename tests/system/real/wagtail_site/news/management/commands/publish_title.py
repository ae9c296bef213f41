"""Publish an article under a new title, as an import job beside the web workers would."""

from django.core.management.base import BaseCommand

from news.models import ArticlePage


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("slug")
        parser.add_argument("title")

    def handle(self, *, slug, title, **options):
        page = ArticlePage.objects.get(slug=slug)
        page.title = title
        page.save_revision().publish()
