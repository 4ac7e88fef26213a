"""Rules of approvals, which users configure, and the acts of this app that can need a second person."""
