-- Drop what functions.sql creates, after the tables whose triggers call it.
DROP FUNCTION public.create_partition(text, uuid, uuid);
DROP FUNCTION public.drop_partition(text);
DROP FUNCTION public.keep_version();
DROP FUNCTION public.queue_audit_entries();
DROP FUNCTION public.count_audit_seals();
DROP FUNCTION public.count_audit_head();
