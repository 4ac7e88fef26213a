-- Drop the tables that tables.sql creates.
DROP TABLE scheduling_wake, scheduling_settled, scheduling_tally;
