"""Fill the site: an editor, thirty pages with pictures, one behind a password, one for editors."""

import colorsys
from io import BytesIO

from django.contrib.auth import get_user_model
from django.core.files.images import ImageFile
from django.core.management.base import BaseCommand
from django.db import transaction
from home.models import HomePage
from PIL import Image as Picture
from PIL import ImageDraw
from wagtail.images.models import Image
from wagtail.models import PageViewRestriction, Site

from news.models import ArticlePage, NewsIndexPage

ARTICLES = 30
PICTURES = 12


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("editor")
        parser.add_argument("password")

    @transaction.atomic
    def handle(self, *, editor, password, **options):
        get_user_model().objects.create_superuser(editor, f"{editor}@example.org", password)
        Site.objects.update(hostname="real.test", site_name="The Press")
        home = HomePage.objects.get()
        news = home.add_child(instance=NewsIndexPage(title="News", slug="news", intro="All of it"))
        pictures = [make_picture(number) for number in range(PICTURES)]
        for number in range(1, ARTICLES + 1):
            article = make_article(number, pictures[number % PICTURES])
            news.add_child(instance=article)
            article.save_revision().publish()
        restrict(news, "with-password", PageViewRestriction.PASSWORD, password="open sesame")
        restrict(news, "for-editors", PageViewRestriction.LOGIN)


def make_picture(number):
    """Draw a picture that no other number gives."""
    shade = tuple(int(255 * part) for part in colorsys.hsv_to_rgb(number / PICTURES, 0.5, 0.9))
    picture = Picture.new("RGB", (640, 480), shade)
    ImageDraw.Draw(picture).ellipse((20 * number, 60, 20 * number + 240, 300), fill="white")
    data = BytesIO()
    picture.save(data, "PNG")
    file = ImageFile(BytesIO(data.getvalue()), name=f"picture-{number}.png")
    return Image.objects.create(title=f"Picture {number}", file=file)


def make_article(number, picture):
    """Write an article with a few paragraphs."""
    body = "".join(f"<p>Paragraph {part} of article {number}.</p>" for part in range(1, 9))
    return ArticlePage(
        title=f"Article {number:02}",
        slug=f"article-{number:02}",
        intro=f"What happened on day {number}",
        body=body,
        picture=picture,
    )


def restrict(parent, slug, kind, **options):
    """Add a page that not everyone may read."""
    page = ArticlePage(title=slug, slug=slug, intro="Not for all", body=f"<p>secret-of-{slug}</p>")
    parent.add_child(instance=page)
    PageViewRestriction.objects.create(page=page, restriction_type=kind, **options)
