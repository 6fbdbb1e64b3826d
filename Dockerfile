# syntax=docker/dockerfile:1
# The image of Tidings: the binary, the libraries that it names, certificates of authorities, nothing else; nobody's user.
#
#     docker build --tag tidings:0.1.0 .
#     docker buildx build --platform linux/amd64,linux/arm64 --tag … --push .
#
# docs/operations.md says more about both. scripts/rootfs makes the file system, here and for the test that runs the server in it.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN bash -euc '. scripts/lib.sh; need_c_compiler'
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --release --locked --bin tidings \
    && strip target/release/tidings \
    && scripts/rootfs target/release/tidings /rootfs

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tidings" \
      org.opencontainers.image.description="An event bus: CloudEvents over gRPC, on Apache Kafka or on an embedded durable log" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs /
# Where OpenSSL and rustls find the authorities, for Kafka and object stores.
ENV PATH=/usr/local/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# The default directory of the log, tidings-data, lies here.
WORKDIR /var/lib/tidings
USER 65532:65532
EXPOSE 4480 4481
STOPSIGNAL SIGTERM
ENTRYPOINT ["tidings"]
CMD ["serve"]
