# A peer in a container: docker build -t pirate . && docker run -v DIR:/share:ro pirate serve /share
FROM python:3.13.7-slim-bookworm

# A system user of its own; /data is what it may write to.
RUN useradd --system --uid 7070 --create-home --home-dir /data pirate

COPY . /tmp/source
RUN pip install --no-cache-dir /tmp/source && rm -rf /tmp/source

USER pirate
WORKDIR /data
EXPOSE 7070

# Asks the peer itself and nobody else; it answers while it is still hashing, too. For a peer
# that does not listen on port 7070, say so with --health-cmd.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD PIRATE_ETCD= pirate peers -q --discovery static --peer 127.0.0.1:7070 || exit 1

# `pirate serve` withdraws from the registry on SIGTERM and ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["pirate"]
CMD ["serve"]
