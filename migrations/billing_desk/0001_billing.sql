-- Billing users of one server and its organizations. Times are milliseconds since 1970.
CREATE TABLE billing_user (
    user_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- The organization's uuid; NULL for the server's own users.
    realm TEXT,
    -- The user's uuid on the organization's own server; set exactly when realm is.
    user_uuid TEXT,
    email TEXT NOT NULL,
    full_name TEXT NOT NULL,
    date_joined INTEGER NOT NULL,
    last_login INTEGER,
    is_active INTEGER NOT NULL,
    -- '-1' before any terms were accepted.
    tos_version TEXT NOT NULL,
    enable_major_release_emails INTEGER NOT NULL,
    enable_maintenance_release_emails INTEGER NOT NULL,
    CHECK ((realm IS NULL) = (user_uuid IS NULL))
) STRICT;

CREATE UNIQUE INDEX billing_user_of_realm ON billing_user (realm, user_uuid) WHERE realm IS NOT NULL;

CREATE UNIQUE INDEX billing_user_of_server ON billing_user (email) WHERE realm IS NULL;

-- Users that are not confirmed yet, each with its link, and the log by which letters are limited. Rows go after two days.
CREATE TABLE billing_preregistration (
    prereg_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the key in the link.
    key_hash BLOB NOT NULL UNIQUE,
    realm TEXT,
    user_uuid TEXT,
    email TEXT NOT NULL,
    full_name TEXT NOT NULL,
    date_joined INTEGER NOT NULL,
    -- 0 new, 1 used, 2 revoked.
    status INTEGER NOT NULL,
    next_page TEXT,
    uri_scheme TEXT NOT NULL,
    created_user INTEGER,
    -- From where it was asked for.
    network TEXT NOT NULL
) STRICT;

CREATE INDEX billing_preregistration_by_age ON billing_preregistration (date_joined);

-- Letters that no mail service has taken yet.
CREATE TABLE billing_mail (
    mail_id INTEGER NOT NULL PRIMARY KEY,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    -- Tries begun.
    attempts INTEGER NOT NULL,
    -- When it is tried next. While a try is under way: when that is given up.
    due_at INTEGER NOT NULL
) STRICT;

CREATE INDEX billing_mail_by_due ON billing_mail (due_at, mail_id);

-- Letters of a development service, in the one object that keeps them: the last twenty.
CREATE TABLE billing_dev_mail (
    position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    letter TEXT NOT NULL
) STRICT;

-- Letters that networks have asked for, whatever the server: in the objects that count them. Rows go after a day.
CREATE TABLE billing_mail_count (
    position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    network TEXT NOT NULL,
    asked_at INTEGER NOT NULL
) STRICT;

CREATE INDEX billing_mail_count_by_network ON billing_mail_count (network, asked_at);

CREATE INDEX billing_mail_count_by_age ON billing_mail_count (asked_at);
