-- What of the current period is invoiced. `sold` is the most licenses that the period has had; `owed_*` is what licenses cost
-- that came within it and that no invoice tells of yet. Money is in cents.
ALTER TABLE plan ADD COLUMN sold INTEGER NOT NULL DEFAULT 0;

ALTER TABLE plan ADD COLUMN owed_licenses INTEGER NOT NULL DEFAULT 0;

ALTER TABLE plan ADD COLUMN owed_amount INTEGER NOT NULL DEFAULT 0;

ALTER TABLE plan ADD COLUMN owed_since INTEGER;

-- Licenses that came before this was counted are not billed after the fact.
UPDATE plan SET sold = ifnull((SELECT max(licenses) FROM license_ledger WHERE license_ledger.plan_id = plan.plan_id), 0);

-- A first invoice that had not been written yet is still to be.
UPDATE plan SET invoicing_status = 3 WHERE status NOT IN (3, 7) AND next_invoice_date <= (SELECT max(event_time) FROM
    license_ledger WHERE license_ledger.plan_id = plan.plan_id AND is_renewal = 1);

-- 'period' or 'additional'.
ALTER TABLE invoice ADD COLUMN kind TEXT NOT NULL DEFAULT 'period';

-- Plans whose invoicing does not wait for an upload.
CREATE INDEX plan_unconditional ON plan (next_invoice_date)
    WHERE status < 10 AND next_invoice_date IS NOT NULL AND (tier < 103 OR status IN (2, 7) OR invoicing_status = 3);
