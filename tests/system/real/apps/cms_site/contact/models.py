from django.db import models


class Message(models.Model):
    text = models.CharField(max_length=200)


class Subscriber(models.Model):
    email = models.EmailField()
