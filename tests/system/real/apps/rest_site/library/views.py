from rest_framework import serializers, viewsets
from rest_framework.permissions import AllowAny, IsAuthenticated

from .models import Author, Book, Loan, Suggestion


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ["id", "name", "books"]
        read_only_fields = ["books"]


class BookSerializer(serializers.ModelSerializer):
    class Meta:
        model = Book
        fields = ["id", "title", "author", "price"]


class LoanSerializer(serializers.ModelSerializer):
    class Meta:
        model = Loan
        fields = ["id", "book", "note"]


class SuggestionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Suggestion
        fields = ["id", "title"]


class AuthorViewSet(viewsets.ModelViewSet):
    """Everybody who wrote a book."""

    queryset = Author.objects.prefetch_related("books").order_by("name")
    serializer_class = AuthorSerializer


class BookViewSet(viewsets.ModelViewSet):
    """All books of the library."""

    queryset = Book.objects.order_by("title")
    serializer_class = BookSerializer


class LoanViewSet(viewsets.ModelViewSet):
    """The books that you have at home."""

    serializer_class = LoanSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self):
        return Loan.objects.filter(reader=self.request.user.pk).order_by("pk")

    def perform_create(self, serializer):
        serializer.save(reader=self.request.user)


class SuggestionViewSet(viewsets.ModelViewSet):
    """Books that somebody misses."""

    queryset = Suggestion.objects.order_by("pk")
    serializer_class = SuggestionSerializer
    permission_classes = [AllowAny]
