"""Alerts: rules over measured values, and notices to the contacts that they concern.

An alert passes these modules in this order:

1. Measure: `measures` (the registry), `sources`, `causes`, `incidents`.
2. Evaluate: `evaluator` (the duty of dispatchers), `evaluation`, `rules` (pure).
3. Group: `grouping`, with what keeps an alert from notifying in `suppression` (pure).
4. Route: `routing`, to the contacts of an owner, a route or the default group.
5. Deliver: `messages`, `contacts`, `templates` and `delivery`, called by `processor` (jobs) and `sender` (dispatchers).

`outage` is the way without a database. Users configure rules (`rule_config`, `backtest`) and contacts (`config`), and
act on alerts (`acts`, `queries`); pages are in `admin`, `config_admin`, `rule_admin` and `panels`, the API in `api` and
`config_api`.
"""
