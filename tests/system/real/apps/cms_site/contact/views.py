from django.http import HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_POST

from .models import Message, Subscriber


@require_POST
def send(request):
    """Keep what was written into the contact form."""
    Message.objects.create(text=request.POST["text"])
    return HttpResponseRedirect("/en/")


def subscribe(request):
    """Show a form of Django's own, or keep what was written into it."""
    if request.method == "POST":
        Subscriber.objects.create(email=request.POST["email"])
        return HttpResponseRedirect(request.path)
    return render(request, "subscribe.html", {"count": Subscriber.objects.count()})
