-- Customers, plans and what is owed. `realm_uuid` is empty for the server itself. Money is in cents, times are milliseconds
-- since 1970.
CREATE TABLE customer (
    customer_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    realm_uuid TEXT NOT NULL UNIQUE,
    payment_reference TEXT,
    sponsorship_pending INTEGER NOT NULL,
    monthly_discounted_price INTEGER NOT NULL,
    annual_discounted_price INTEGER NOT NULL,
    minimum_licenses INTEGER,
    required_plan_tier INTEGER,
    exempt_from_license_number_check INTEGER NOT NULL,
    flat_discount INTEGER NOT NULL,
    flat_discounted_months INTEGER NOT NULL
) STRICT;

CREATE TABLE plan (
    plan_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL,
    tier INTEGER NOT NULL,
    status INTEGER NOT NULL,
    automanage_licenses INTEGER NOT NULL,
    charge_automatically INTEGER NOT NULL,
    price_per_license INTEGER,
    fixed_price INTEGER,
    discount TEXT,
    billing_cycle_anchor INTEGER NOT NULL,
    billing_schedule INTEGER NOT NULL,
    next_invoice_date INTEGER,
    end_date INTEGER,
    invoicing_status INTEGER NOT NULL
) STRICT;

-- At most one live plan per customer.
CREATE UNIQUE INDEX plan_live ON plan (customer_id) WHERE status < 10;

CREATE INDEX plan_by_invoice ON plan (next_invoice_date) WHERE status < 10 AND next_invoice_date IS NOT NULL;

CREATE INDEX plan_by_end ON plan (end_date) WHERE status < 10 AND end_date IS NOT NULL;

-- How many licenses a plan had when.
CREATE TABLE license_ledger (
    ledger_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    plan_id INTEGER NOT NULL,
    is_renewal INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    licenses INTEGER NOT NULL,
    licenses_at_next_renewal INTEGER NOT NULL
) STRICT;

CREATE INDEX license_ledger_by_plan ON license_ledger (plan_id, ledger_id);

-- What was to be paid. Never changed.
CREATE TABLE invoice (
    invoice_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    realm_uuid TEXT NOT NULL,
    plan_id INTEGER NOT NULL,
    tier INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    period_start INTEGER NOT NULL,
    period_end INTEGER NOT NULL,
    licenses INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    discount INTEGER NOT NULL
) STRICT;

CREATE INDEX invoice_by_realm ON invoice (realm_uuid, invoice_id);

-- What the payment system must still be told.
CREATE TABLE billing_event (
    event_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;

CREATE INDEX billing_event_by_due ON billing_event (due_at, event_id);

-- Events of the payment system that have counted, until they are too old to be sent again.
CREATE TABLE billing_seen (
    event TEXT NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX billing_seen_by_age ON billing_seen (seen_at);

-- Since when the operators' index does not know how this server is. No row: it does.
CREATE TABLE announcement (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;

-- Since when the registration is being removed: what the law asks for goes, the audit stays.
ALTER TABLE server ADD COLUMN removed_at INTEGER;
