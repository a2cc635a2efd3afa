#!/usr/bin/python3
"""What files cannot do, as CGI: an answer that takes its time, and one that does not end."""

import os
import sys
import time
from urllib.parse import parse_qs

NAME = os.environ.get("CUTOVER_RELEASE", "v0")
query = {key: values[0] for key, values in parse_qs(os.environ.get("QUERY_STRING", "")).items()}

if os.environ["SCRIPT_NAME"] == "/slow":
    time.sleep(float(query.get("ms", 1000)) / 1000)
    body = f"{NAME} slowly\n"
    sys.stdout.write(f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}")
else:
    sys.stdout.write("Content-Type: text/event-stream\r\n\r\n")
    count = 0
    while True:
        count += 1
        print(f"data: {NAME} {count}\n", flush=True)
        time.sleep(float(query.get("every", 1000)) / 1000)
