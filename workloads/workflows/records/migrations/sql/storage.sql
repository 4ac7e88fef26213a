-- A node is written two or three times, and no index changes: with room in its page the later versions stay there.
ALTER TABLE workflow_storage_noderun SET (fillfactor = 70);
ALTER TABLE workflow_storage_workflowrun SET (fillfactor = 70);
