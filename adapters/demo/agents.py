"""One department's agent as the demo runs it: a process of its own, beside its own store, keys and state.

    python -m adapters.demo.agents begin CONFIG   # standard input: the enrolment code; enrols, checks, syncs
    python -m adapters.demo.agents sync CONFIG    # one more sync
    python -m adapters.demo.agents faces CONFIG [CERTIFICATE ...]

Nothing here that `yimen-agent` does not do; the only difference is that the answer is one JSON line.
The passphrase comes in YIMEN_AGENT_PASSPHRASE and the hub's address in YIMEN_HUB, which every agent.yaml asks for.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapters.agent import Agent
from adapters.command import PASSPHRASE
from hub.errors import HubError
from keys.errors import KeyFault


def begin(agent: Agent, code: str) -> dict[str, Any]:
    """Enrol with the one-time code, look at everything a sync needs, then sync."""
    agent.enrol(code)
    failed = [check for check in agent.check() if not check.ok]
    if failed:
        return {"faults": [[check.name, "agent.check", f"{check.zh} {check.en}"] for check in failed]}
    return sync(agent)


def sync(agent: Agent) -> dict[str, Any]:
    """One sync, as `yimen-agent sync`."""
    report = asdict(agent.sync())
    return report | {"standing": sum(one.current for one in agent.status().datasets)}


def main() -> int:
    """Do one thing and print one line of JSON; 1 with `{"code", "zh", "en"}` on an expected error."""
    verb, config, *rest = sys.argv[1:]
    try:
        with Agent.load(Path(config), passphrase=os.environ[PASSPHRASE]) as agent:
            if verb == "begin":
                found = begin(agent, sys.stdin.read().strip())
            elif verb == "sync":
                found = sync(agent)
            elif verb == "faces":
                made = agent.faces(certificates=rest or None)
                found = {"made": made.made, "refused": [list(one) for one in made.refused], "left": made.left}
            else:
                raise SystemExit(2)
    except (HubError, KeyFault) as fault:
        print(json.dumps({"code": fault.code, "zh": fault.zh, "en": fault.en}, ensure_ascii=False))
        return 1
    print(json.dumps(found, ensure_ascii=False))
    return 1 if found.get("faults") else 0


if __name__ == "__main__":
    sys.exit(main())
