"""The shedding rules that an installation begins with."""

OVERLOADED, BROWN_OUT = 2, 3
# name, load state, action, tier or feature
RULES = (
    ("Refuse jobs of the tier sandbox", OVERLOADED, "refuse", "sandbox"),
    ("Refuse jobs of the tier team", OVERLOADED, "refuse", "team"),
    ("Refuse jobs of the tier professional", BROWN_OUT, "refuse", "professional"),
    ("Switch off what-if", OVERLOADED, "off", "what_if"),
    ("Switch off exports", OVERLOADED, "off", "exports"),
    ("Switch off counts of lists", OVERLOADED, "off", "exact_counts"),
    ("Switch off previews of searches", BROWN_OUT, "off", "previews"),
    ("Switch off event streams", BROWN_OUT, "off", "streams"),
)
