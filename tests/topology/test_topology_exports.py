import gossipfl.topology


def test_every_exported_name_exists_and_is_documented():
    for name in gossipfl.topology.__all__:
        assert getattr(gossipfl.topology, name).__doc__, name
    assert gossipfl.topology.__all__ == sorted(gossipfl.topology.__all__, key=lambda name: (not name.isupper(), name))
