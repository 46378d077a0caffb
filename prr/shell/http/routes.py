"""The table of all that can be asked over HTTP. The router, openapi.json, the manual and the tests
read it."""

from dataclasses import field

from prr.record import record
from prr.shell.http.assets import CSS, HTML, JAVASCRIPT


@record
class Parameter:
    """Something that may be asked along with a path, behind the `?`."""

    name: str
    form: str  # the name of its schema's type
    meaning: str


@record
class Route:
    """One thing that can be asked."""

    method: str
    path: str  # as OpenAPI writes it: {name} stands for what differs
    view: str  # the method of Views that answers
    summary: str
    answer: str  # the schema of what is answered; "": text
    parameters: tuple[Parameter, ...] = ()
    body: str = ""  # the schema of what is sent along; "": nothing is
    is_for_operators: bool = False
    says_nothing: bool = False  # of any service: anybody may ask, whatever has to be proved
    media_type: str = "text/plain"  # of what is answered, where that has no schema
    refusals: tuple[int, ...] = field(default=())
    """What else may be answered, beside what any request may be."""

    @property
    def rule(self) -> str:
        """The path, as the router writes it."""
        return self.path.replace("{", "<").replace("}", ">")


LIMIT = Parameter("limit", "integer", "rows at most: 1 to 1000, 100 if it is not said")
CURSOR = Parameter("cursor", "string", "the `next` of the page before: go on from there")
ZONE = Parameter("zone", "string", "one of this zone, if any is in turn there")
SERVICE = Parameter("service", "string", "only the changes of this one")

ROUTES = (
    Route(
        *("GET", "/v1/services", "services", "the services that have instances", "ServicePage"),
        parameters=(LIMIT, CURSOR),
    ),
    Route(
        *("GET", "/v1/services/{service}", "instances", "all instances of a service"),
        *("InstancePage", (LIMIT, CURSOR)),
        refusals=(404,),
    ),
    Route(
        *("GET", "/v1/lookup/{service}", "lookup", "the instance whose turn it is; that takes it"),
        *("Found", (ZONE,)),
        refusals=(404,),
    ),
    Route(
        *("GET", "/v1/history/{service}/{address}", "history"),
        *("the last events of an instance, each with its reason", "History"),
        is_for_operators=True,
        refusals=(404,),
    ),
    Route(
        *("GET", "/v1/binders", "binders", "this binder and its peers, and whether they agree"),
        "Binders",
        is_for_operators=True,
    ),
    Route(
        *("GET", "/v1/status", "status", "all that this binder knows of itself", "Status"),
        is_for_operators=True,
    ),
    Route(
        *("POST", "/v1/complaints", "complain", "say that an instance does not work: it is asked"),
        "Complained",
        body="Complaint",
        is_for_operators=True,
        refusals=(404, 411, 413, 415, 429),
    ),
    Route(
        *("POST", "/v1/drains", "drain", "take an instance out of turn for a time, at all binders"),
        "Drained",
        body="Drain",
        is_for_operators=True,
        refusals=(404, 409, 411, 413, 415),
    ),
    Route(
        *("DELETE", "/v1/drains/{service}/{address}", "undrain", "put it back in turn", "Drained"),
        is_for_operators=True,
        refusals=(404,),
    ),
    Route(
        *("GET", "/v1/watch", "watch", "every change as it happens, as server-sent events", ""),
        parameters=(SERVICE,),
        media_type="text/event-stream",
    ),
    Route(
        *("GET", "/", "page", "the page for people", ""),
        says_nothing=True,
        media_type=HTML,
    ),
    Route(
        *("GET", "/page.css", "style", "its style", ""),
        says_nothing=True,
        media_type=CSS,
    ),
    Route(
        *("GET", "/page.js", "script", "its script", ""),
        says_nothing=True,
        media_type=JAVASCRIPT,
    ),
    Route("GET", "/healthz", "healthz", "200 as long as it runs", "", says_nothing=True),
    Route(
        *("GET", "/readyz", "readyz", "200 once it can answer every lookup", ""),
        says_nothing=True,
    ),
    Route("GET", "/metrics", "metrics", "what Prometheus reads", ""),
    Route(
        *("GET", "/openapi.json", "openapi", "this table, for programs", "OpenAPI"),
        says_nothing=True,
    ),
)
