-- name: guard_site
-- Insert the row of the site if it is missing, or begin to guard it: it starts nothing before its first renewal.
INSERT INTO scheduling_site AS s (id, name, epoch, starts_until, fault) VALUES (1, %(name)s, 0, now(), '')
ON CONFLICT (id) DO UPDATE SET starts_until = coalesce(s.starts_until, now());
