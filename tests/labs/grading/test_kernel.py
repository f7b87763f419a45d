"""The kernel's limits: what is local, and where a notebook may write."""


def test_the_network_is_closed_even_for_a_server_of_this_machine_by_name():
    from safedpo.labs.grading.kernel import _is_local

    assert _is_local(("127.0.0.1", 80)) and _is_local("/a/socket") and _is_local(("::1", 80, 0, 0))
    assert not _is_local(("192.0.2.1", 80)) and not _is_local(("example.org", 80))
