# A peer in a container: docker build -t pirate . && docker run -v DIR:/share:ro pirate serve /share
FROM python:3.13.7-slim-bookworm

# A system user of its own; /data is what it may write to.
RUN useradd --system --uid 7070 --create-home --home-dir /data pirate

COPY . /tmp/source
RUN pip install --no-cache-dir /tmp/source && rm -rf /tmp/source

USER pirate
WORKDIR /data
EXPOSE 7070

# Whether the peer answers, which it does while it is still hashing, too: --check would fail then,
# and a peer that is well be restarted. Where it does not listen on port 7070 --health-cmd says so.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD pirate status 127.0.0.1:7070 || exit 1

# `pirate serve` withdraws from the registry on SIGTERM and ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["pirate"]
CMD ["serve"]
