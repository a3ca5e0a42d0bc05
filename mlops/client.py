"""Ask a scoring server: `Client` for plain code, `AsyncClient` for asyncio; both typed.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.predict("digit.png")
        print(answer.name, answer.probability, answer.model_version)
        client.feedback(answer.prediction_id, "7")

Both ask again on 429 and 503, as the server's `Retry-After` says, with jitter, until one deadline
is over; labels are sent again also when a reply was lost, since repeating one changes nothing.
What goes wrong is a `mlops.errors.CallFailed` with the server's own code, message and remedy.
"""

from __future__ import annotations

from mlops.remote.aio import AsyncClient
from mlops.remote.answers import Feedback, Health, Logged, Prediction
from mlops.remote.retry import Retry
from mlops.remote.sync import Client

__all__ = ["AsyncClient", "Client", "Feedback", "Health", "Logged", "Prediction", "Retry"]
