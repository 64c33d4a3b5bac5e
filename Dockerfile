# syntax=docker/dockerfile:1
# A small image that holds the program, the roots of trust, and nothing else to speak of.

FROM rust:1.89-slim-bookworm AS build
# SQLite, ring and the allocator are compiled from C.
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY benches ./benches
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin leadrelay && cp target/release/leadrelay /leadrelay

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin leadrelay \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/leadrelay
COPY --from=build /leadrelay /usr/bin/leadrelay
USER 10001:10001
WORKDIR /var/lib/leadrelay
# The ledger: the one thing that must outlive the container.
VOLUME /var/lib/leadrelay
ENV LEADRELAY_CONFIG=/etc/leadrelay/leadrelay.toml
EXPOSE 9464
# Alive, not ready: a worker that stands by, or waits for its broker, is not helped by being killed.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["leadrelay", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["leadrelay"]
CMD ["run"]
