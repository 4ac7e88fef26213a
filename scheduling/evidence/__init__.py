"""Evidence packs: signed extracts of the audit log and its surroundings, for a period and a scope."""
