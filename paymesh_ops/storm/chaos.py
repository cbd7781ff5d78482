"""Carries the faults out, starts again what died, and measures how long that took."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any

import psycopg

from paymesh_ops.launch.mesh import Mesh
from paymesh_ops.storm.accounts import Accounts
from paymesh_ops.storm.plan import Fault, FaultKind
from paymesh_ops.storm.servers import Servers

POLL_S = 0.1


class Chaos:
    """`done` has each fault's recovery times in seconds, by kind."""

    def __init__(
        self, mesh: Mesh, servers: Servers, databases: Sequence[str], accounts: Accounts
    ) -> None:
        self._mesh, self._servers, self._databases = mesh, servers, list(databases)
        self._accounts = accounts
        self.done: dict[FaultKind, list[float]] = defaultdict(list)
        self._watching: set[asyncio.Task[None]] = set()
        self.failed: BaseException | None = None
        """Why a fault could not be carried out, or not be ended."""

    async def rage(self, faults: Sequence[Fault]) -> None:
        """Each at its time, or at once when the one before it took longer."""
        begun = time.monotonic()
        for fault in faults:
            await asyncio.sleep(max(0.0, begun + fault.at_s - time.monotonic()))
            await self._strike(fault)
        if self._watching:
            await asyncio.wait(self._watching)
        if self.failed is not None:
            raise self.failed

    async def _strike(self, fault: Fault) -> None:
        started = time.monotonic()
        match fault.kind:
            case FaultKind.SERVICE_KILLED:
                self._watch(self._kill(fault.what))
                return
            case FaultKind.ACCOUNT_SHUT:
                self._watch(self._shut(fault))
                return
            case FaultKind.BROKER_KILLED | FaultKind.BROKER_STOPPED:
                await asyncio.to_thread(self._servers.kill_broker)
                await asyncio.sleep(fault.lasts_s)
                await asyncio.to_thread(self._servers.start_broker)
            case FaultKind.POSTGRES_STOPPED:
                await asyncio.to_thread(self._servers.stop_postgres)
                await asyncio.to_thread(self._servers.start_postgres)
            case FaultKind.SESSIONS_TERMINATED:
                await asyncio.to_thread(self._servers.terminate_sessions)
            case FaultKind.EVENTS_RESENT:
                with contextlib.suppress(psycopg.OperationalError):  # it is a storm
                    await asyncio.to_thread(self._servers.resend_events, self._databases, 20)
        self.done[fault.kind].append(time.monotonic() - started)

    def _watch(self, fault: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(fault)
        self._watching.add(task)
        task.add_done_callback(self._watched)

    def _watched(self, task: asyncio.Task[None]) -> None:
        self._watching.discard(task)
        if not task.cancelled():
            self.failed = self.failed or task.exception()

    async def _shut(self, fault: Fault) -> None:
        """Until it is open again, however long that takes while all around it falls."""
        name, status = fault.what.split()
        await self._accounts.become(name, status)
        await asyncio.sleep(fault.lasts_s)
        started = time.monotonic()
        await self._accounts.become(name, "OPEN")
        self.done[FaultKind.ACCOUNT_SHUT].append(time.monotonic() - started)

    async def _kill(self, name: str) -> None:
        """Until the process that takes its place is ready."""
        started = time.monotonic()
        died = self._mesh.children[name].popen
        died.kill()
        while True:
            await asyncio.sleep(POLL_S)
            child = self._mesh.children[name]
            if child.popen is not died and child.ready_file.exists():
                break
        self.done[FaultKind.SERVICE_KILLED].append(time.monotonic() - started)
