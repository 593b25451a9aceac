-- transaction: none
-- The words of a shop's notices, where staff have changed them, and what finds sealed notices for a rotation of keys.
-- Lock: SHARE UPDATE EXCLUSIVE on webhook_queue while the index is made, so orders are placed meanwhile; a new table.
-- Run before the new code: workers of before leave rows for 'mail' and 'sms' alone until they lose their attempts, so let
-- workers of the new code take over soon.

-- A row replaces the template that comes with the program, for one kind, channel and language.
CREATE TABLE IF NOT EXISTS {notice_templates} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    kind        TEXT NOT NULL,
    channel     TEXT NOT NULL,
    language    TEXT NOT NULL,                        -- BCP 47, as in 'de' or 'de-AT'
    subject     TEXT,                                 -- of a mail
    body        TEXT NOT NULL,                        -- plain text
    html        TEXT,                                 -- of a mail, beside the text
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {notice_templates_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {notice_templates_unique} UNIQUE (tenant_id, kind, channel, language),
    CONSTRAINT notice_templates_channel_known CHECK (channel IN ('mail', 'sms')),
    CONSTRAINT notice_templates_kind_length CHECK (length(kind) BETWEEN 1 AND 50),
    CONSTRAINT notice_templates_language_length CHECK (length(language) BETWEEN 2 AND 35),
    CONSTRAINT notice_templates_subject_length CHECK (length(subject) BETWEEN 1 AND 500),
    CONSTRAINT notice_templates_body_length CHECK (length(body) BETWEEN 1 AND 20000),
    CONSTRAINT notice_templates_html_length CHECK (length(html) BETWEEN 1 AND 50000),
    CONSTRAINT notice_templates_mail_has_subject CHECK ((channel = 'mail') = (subject IS NOT NULL)),
    CONSTRAINT notice_templates_sms_is_text CHECK (channel = 'mail' OR html IS NULL)
);

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_sealed} ON {webhook_queue} (tenant_id, id) WHERE destination IN ('mail', 'sms') AND status <> 'success';
