"""The dispatcher's work, a step a module: collect → stage → wake → read → pick → claim → publish."""

from scheduling.services.dispatching.absence import note_broker_away
from scheduling.services.dispatching.awaited import Awaited
from scheduling.services.dispatching.refused import set_aside_refused
from scheduling.services.dispatching.republish import republish_unstarted
from scheduling.services.dispatching.tick import TickResult, run_tick

__all__ = ["Awaited", "TickResult", "note_broker_away", "republish_unstarted", "run_tick", "set_aside_refused"]
