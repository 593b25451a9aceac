"""Messages on their way to people: in the shop's words, by mail and by text message, from the queue."""

from storeroom.messaging.bureau import Bureau
from storeroom.messaging.carriers import MailCarrier, SmsCarrier
from storeroom.messaging.errors import InvalidTemplate, TemplateNotFound, TemplateTaken, TooManyTemplates
from storeroom.messaging.happenings import HappeningsCarrier
from storeroom.messaging.model import NoticeTemplate, TemplateId, Words
from storeroom.messaging.service import NoticeTemplates, TemplateChanges
from storeroom.messaging.smtp import Smtp

__all__ = [
    "Bureau",
    "HappeningsCarrier",
    "InvalidTemplate",
    "MailCarrier",
    "NoticeTemplate",
    "NoticeTemplates",
    "SmsCarrier",
    "Smtp",
    "TemplateChanges",
    "TemplateId",
    "TemplateNotFound",
    "TemplateTaken",
    "TooManyTemplates",
    "Words",
]
