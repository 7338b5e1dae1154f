"""What a run of these tests is given, and what it did with it."""

from orchestrator.drivers.meltano.output import LogLine


class Callbacks:
    """What a run is given, and what it did with it."""

    def __init__(self, state=None, refuse_after=None):
        self.state, self.refuse_after = state, refuse_after
        self.outputs, self.saved = [], []

    def on_output(self, output):
        self.outputs.append(output)

    def load_state(self, state_id):
        self.asked = state_id
        return self.state

    def save_state(self, state_id, state):
        if self.refuse_after is not None and len(self.saved) >= self.refuse_after:
            raise RuntimeError("the database is gone")
        self.saved.append(state["completed"]["singer_state"]["bookmarks"])

    def run(self, meltano, project, **more):
        given = {"on_output": self.on_output, "load_state": self.load_state, "save_state": self.save_state}
        return meltano.run(project, **(given | more))

    @property
    def text(self):
        return "\n".join(line.message for line in self.outputs if isinstance(line, LogLine))


def selection(*streams):
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    return {
        "streams": [
            {
                "tap_stream_id": name,
                "stream": name,
                "schema": schema,
                "metadata": [{"breadcrumb": [], "metadata": {"selected": name in streams}}],
            }
            for name in ("users", "orders")
        ]
    }
