-- Drop the table that concurrency_keys.sql creates.
DROP TABLE scheduling_concurrency_key_news;
