"""Fill the library: authors, books, and readers with a book at home."""

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from library.models import Author, Book, Loan

AUTHORS, BOOKS = 8, 32
READERS = ("alice", "bob", "carol")


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options):
        authors = [Author.objects.create(name=f"Author {number:02}") for number in range(AUTHORS)]
        books = [
            Book.objects.create(
                title=f"Book {number:02}", author=authors[number % AUTHORS], price=10 + number
            )
            for number in range(BOOKS)
        ]
        for number, name in enumerate(READERS):
            reader = get_user_model().objects.create_superuser(
                f"{name}-of-the-library", f"{name}@reader.test", f"password-of-{name}"
            )
            Loan.objects.create(reader=reader, book=books[number], note=f"loan-of-{name}-4711")
