"""The setting JOBS_PLATFORM, which contains the platform's own settings, read from the environment."""

from jobsplatform.settings.env import env, read_platform_settings

JOBS_PLATFORM = read_platform_settings() | {
    # Without one each process makes its own (base), and the start-up checks refuse to serve.
    "IS_SECRET_KEY_GIVEN": bool(env.str("SECRET_KEY")),
    # `__Host-`: browsers take such a cookie over HTTPS alone, from this host alone and for the whole of it.
    "DEVICE_COOKIE_NAME": "__Host-device" if env.bool("HTTPS_ONLY") else "device",
    # OpenTelemetry's own variable; the others of its kind are read by it alone.
    "IS_TRACING": bool(env.str("OTEL_EXPORTER_OTLP_ENDPOINT")),
}
