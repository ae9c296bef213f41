"""Fill the site: pages in two languages, one with a form, and two editors."""

from cms.api import add_plugin, create_page, create_page_content
from cms.models import PageContent
from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.core.management.base import BaseCommand
from django.db import transaction

PAGES = 10
EDITORS = ("alice", "bob")


class Command(BaseCommand):
    help = __doc__

    @transaction.atomic
    def handle(self, **options):
        Site.objects.update(domain="real.test", name="The press")
        editors = [
            get_user_model().objects.create_superuser(
                f"{name}-of-the-press",
                f"{name}@editor.test",
                f"password-of-{name}",
                first_name=f"{name.title()}-first-name",
            )
            for name in EDITORS
        ]
        home = add_page("Home", editors[0])
        home.set_as_homepage()
        for number in range(1, PAGES + 1):
            add_page(f"Article {number:02}", editors[0])
        add_page("Contact", editors[0], "ContactPlugin")


def add_page(title, editor, plugin=None):
    """Make a page in both languages, and publish it."""
    page = create_page(title, "page.html", "en", in_navigation=True, created_by=editor)
    create_page_content("de", f"{title} auf Deutsch", page, in_navigation=True, created_by=editor)
    for content in PageContent.admin_manager.filter(page=page):
        for placeholder in [*content.rescan_placeholders().values()]:
            body = f"<p>The text of {content.title}.</p>"
            add_plugin(placeholder, "TextPlugin", content.language, body=body)
            if plugin:
                add_plugin(placeholder, plugin, content.language)
        content.versions.first().publish(editor)
    return page
