"""An ordinary ASGI app that knows nothing of Cutover. uvicorn's master listens, its workers inherit the socket; the port is hard-coded."""

import asyncio
import os
from urllib.parse import parse_qs

NAME = os.environ.get("CUTOVER_RELEASE", "v0")


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        return await echo(receive, send)
    if scope["type"] != "http":
        return
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    if scope["path"] == "/":
        await answer(send, 200, f"{NAME} pid {os.getpid()}\n")
    elif scope["path"] == "/slow":
        await asyncio.sleep(float(query.get("ms", 1000)) / 1000)
        await answer(send, 200, f"{NAME} slowly\n")
    elif scope["path"] == "/stream":
        await receive()
        await stream(receive, send, float(query.get("every", 1000)) / 1000)
    else:
        await answer(send, 404, "no such page\n")


async def answer(send, status, text):
    body = text.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(receive, send, every):
    """Numbered events until the client leaves."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    left = asyncio.ensure_future(receive())
    count = 0
    while not left.done():
        count += 1
        await send({"type": "http.response.body", "body": f"data: {NAME} {count}\n\n".encode(), "more_body": True})
        await asyncio.wait([left], timeout=every)


async def echo(receive, send):
    """Every message comes back with the version before it."""
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{NAME} {event['text']}"})
        else:
            return
