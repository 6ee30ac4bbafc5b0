# hookbox in a container. /data holds hookbox.toml, the handlers and the inbox. Handlers run in this image: build your own
# on top of it with the programs that they need.
#
#     FROM hookbox
#     RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
#
# docker build -t hookbox .
# docker run --init -v "$PWD:/data" -p 127.0.0.1:8080:8080 -e GITHUB_WEBHOOK_SECRET hookbox

FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked && install -s target/dist/hookbox /hookbox

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl sqlite3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /data --uid 10001 hookbox
COPY --from=build /hookbox /usr/local/bin/hookbox
USER hookbox
WORKDIR /data
VOLUME /data
# In the container's hookbox.toml: [server] listen = "0.0.0.0:8080"
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["hookbox", "health"]
# Containers are given ten seconds to stop; dispatch.shutdown_grace fits into them.
STOPSIGNAL SIGTERM
ENTRYPOINT ["hookbox"]
CMD ["serve"]
