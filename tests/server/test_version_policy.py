import pytest

from kedge_server.version_policy import ALL, Label, VersionPolicy, check_labels, labels_of, parse_labels


@pytest.mark.parametrize(
    ("text", "wanted"), [("all", {1, 2, 5, 9}), ("latest:1", {9}), ("latest:2", {5, 9}), ("specific:1, 5,7", {1, 5})]
)
def test_a_policy_chooses_among_the_versions_that_there_are(text: str, wanted: set[int]):
    policy = VersionPolicy.parse(text)
    assert policy.wanted([9, 1, 5, 2]) == wanted
    assert VersionPolicy.parse(str(policy)) == policy


def test_a_broken_version_takes_no_place_from_one_that_is_not():
    assert VersionPolicy(latest=1).wanted([1, 2, 3], broken=[3]) == {2}
    assert VersionPolicy(latest=2).wanted([1, 2, 3], broken=[2]) == {1, 3}
    assert ALL.wanted([1, 2], broken=[2]) == {1, 2}
    assert VersionPolicy(specific=(2,)).wanted([1, 2], broken=[2]) == {2}


@pytest.mark.parametrize(
    "text", ["", "latest", "latest:0", "latest:1,2", "latest:-1", "specific:", "specific:1,x", "all:1", "newest:1", "²"]
)
def test_what_is_no_policy_is_refused_with_what_was_expected(text: str):
    with pytest.raises(ValueError, match="expected 'all', 'latest:N' or 'specific:N,N'"):
        VersionPolicy.parse(text)


def test_labels_are_read_by_model():
    labels = parse_labels("digits:stable=3, digits:canary=4,a.b:stable=1,")
    assert labels == (Label("digits", "stable", 3), Label("digits", "canary", 4), Label("a.b", "stable", 1))
    assert labels_of("digits", labels) == {"stable": 3, "canary": 4}
    assert labels_of("other", labels) == {}
    assert parse_labels("") == ()


@pytest.mark.parametrize(
    "text", ["stable=3", "digits:stable", "digits:stable=0", "digits:3=3", "digits:sta ble=3", ":a=1"]
)
def test_what_is_no_label_is_refused_with_what_was_expected(text: str):
    with pytest.raises(ValueError, match="expected 'MODEL:LABEL=VERSION', separated by commas"):
        parse_labels(text)


def test_a_label_of_a_model_stands_once():
    with pytest.raises(ValueError, match="each label of a model once"):
        parse_labels("digits:stable=3,digits:stable=4")


def test_labels_of_others_are_checked():
    assert check_labels({"stable": 3}) == {"stable": 3}
    for labels in ({"7": 1}, {"": 1}, {"a" * 65: 1}):
        with pytest.raises(ValueError, match="is no label"):
            check_labels(labels)
    for version in (0, -1, True, "3", None, 1.0, 1 << 63):
        with pytest.raises(ValueError, match="label 'stable': expected the number of a version"):
            check_labels({"stable": version})
