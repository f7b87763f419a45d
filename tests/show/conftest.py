from gallery import sliders  # noqa: F401
