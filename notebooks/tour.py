# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour: from events to a dry-run sync
#
# Everything below runs on this machine, on the sample shop that `audiences init` writes. Nothing is sent, and every
# personal value is masked, so that a saved notebook gives nobody away.

# %%
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import altair as alt
import pandas as pd
from IPython.display import SVG

from audiences import Audience, days, did, prop, trait
from audiences.asking import question_of
from audiences.computing import compute, compute_members
from audiences.explain import explain
from audiences.plan import members_with_keys
from audiences.project import load_definitions, open_stores
from audiences.show import REASONS
from audiences.start import create_project
from exporters.desired import preview_audience
from identity.explanation import show_cluster
from identity.ingest import ingest
from identity.picture import cluster_svg
from identity.profiles import find_profile
from identity.resolve import resolve
from identity.shown import show_profile
from identity.suspects import find_suspects

alt.renderers.enable("png")  # a picture is shown offline and on a code host as well
AS_OF = datetime(2026, 6, 1, 12, tzinfo=UTC)
folder = Path(tempfile.mkdtemp(prefix="tour-"))
create_project(folder, AS_OF)
definitions = load_definitions(folder)
rules = definitions.project.identity
stack = ExitStack()
stores = stack.enter_context(open_stores(definitions))

# %% [markdown]
# ## Events in
#
# Read once, checked, sealed. Bad records are counted by reason and lose nothing around them.

# %%
(report,) = ingest(
    stores.warehouse,
    stores.ledger,
    stores.vault,
    rules,
    [folder / "events" / "sample.ndjson"],
    as_of=AS_OF,
    standard_input=BytesIO(),
    purposes=definitions.project.purposes,
)
pd.Series({"read": report.read, "accepted": report.accepted, "repeated": report.duplicates, **report.refused})

# %% [markdown]
# ## Who is who

# %%
resolved = resolve(stores.warehouse, stores.vault, rules, as_of=AS_OF)
print(f"{resolved.profiles:,} profiles from {resolved.events:,} events; {resolved.merges:,} merges")

# %%
someone = find_profile(stores.warehouse, stores.vault, rules, "user_id:u0008")
profile = show_profile(stores.warehouse, stores.vault, someone)
print(*(f"{each.type:14} {each.value}" for each in profile.identifiers), sep="\n")
pd.Series({name: trait.value for name, trait in profile.traits.items()})

# %% [markdown]
# What to look at: eight people used the tablet on the shop's counter. Their links to it were refused, since a profile
# holds one user id; but for that limit they would be one person.

# %%
suspects = find_suspects(stores.warehouse, stores.vault, rules)
shared = suspects.shared[0]
print(f"{shared.identifier.type} {shared.identifier.value}: seen with {shared.people} people")
pd.DataFrame([{"type": each.type, "values": each.identifiers, "verdict": each.verdict} for each in suspects.types])

# %%
cluster = show_cluster(stores.warehouse, stores.vault, rules, (), shared.identifier.identifier_id)
SVG(cluster_svg(cluster))

# %% [markdown]
# ## Audiences, in Python and in words

# %%
orders = did("Order Completed")
steps = {
    "everybody seen": did("Page Viewed"),
    "ordered, 90 days": orders.within(days(90)),
    "ordered 3 times": orders.within(days(90)) >= 3,
    "spent 500 EUR": orders.within(days(90)).where(prop("currency") == "EUR").sum("revenue") >= 500,
    "and pays for a plan": (orders.within(days(90)).sum("revenue") >= 500) & (trait("plan") != "free"),
}
ladder = [Audience(f"step_{number}", rule) for number, rule in enumerate(steps.values())]
for name, audience in zip(steps, ladder, strict=True):
    print(f"{name:22} {explain(audience)}")

# %%
question = question_of(stores, definitions, AS_OF)
members = compute_members(stores.warehouse, ladder, replace(question, audiences={}))
sizes = pd.DataFrame({"step": list(steps), "people": [len(members[each.key]) for each in ladder]})
chart = (
    alt.Chart(sizes, title="How many people are left at each step", width=420)
    .mark_bar()
    .encode(x=alt.X("people:Q", title="people"), y=alt.Y("step:N", sort=None, title=None), tooltip=["step", "people"])
)
chart

# %% [markdown]
# ## What a sync would do
#
# A dry run: consent, suppression, match keys and the size floor are asked for real; nothing is sent, nothing written.

# %%
compute(stores.warehouse, definitions.audiences, question, run="tour")
rows = []
for audience in definitions.audiences:
    for destination in definitions.destinations(audience):
        candidates = members_with_keys(stores, audience.key, destination)
        preview = preview_audience(stores.ledger, destination, audience.key, candidates, as_of=AS_OF)
        held = {REASONS[reason]: count for reason, count in preview.held_back.items()}
        rows.append({"audience": audience.key, "destination": destination.name, "to add": preview.added, **held})
pd.DataFrame(rows).fillna(0).convert_dtypes()

# %% [markdown]
# Hashed match keys, shortened. A hashed e-mail address is still personal data.

# %%
big_spenders = definitions.audience("big_spenders")
meta = definitions.destinations(big_spenders)[0]
members_with_keys(stores, "big_spenders", meta)[0].keys

# %%
stack.close()
