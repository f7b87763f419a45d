from tests.show.gallery import sliders  # noqa: F401
