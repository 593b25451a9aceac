"""What messages and their templates refuse."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound


class TemplateNotFound(NotFound):
    """The shop has no such template of its own."""

    code = "messaging.template_not_found"

    def __init__(self, *, template_id: UUID) -> None:
        super().__init__(f"no template {template_id}")
        self.template_id = template_id


class TemplateTaken(Conflict):
    """The shop has a template for this kind, channel and language."""

    code = "messaging.template_taken"

    def __init__(self, *, kind: str, channel: str, language: str) -> None:
        super().__init__(f"there is a template for {kind} by {channel} in {language}")
        self.kind, self.channel, self.language = kind, channel, language


class InvalidTemplate(Invalid):
    """A template cannot be used; nothing was written."""

    code = "messaging.invalid_template"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class TooManyTemplates(Conflict):
    """The shop has as many templates as it may have."""

    code = "messaging.too_many_templates"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(f"a shop has {maximum} templates at most")
        self.maximum = maximum
