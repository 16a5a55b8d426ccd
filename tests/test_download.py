"""`sedmtl download` and `sedmtl verify`, with small corpora on a local server."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import invoke
from local_server import Reply, local_server, tree, zipped

from sedmtl.config import load_config
from sedmtl.data.corpora import load_events, load_scenes
from sedmtl.data.download import download as stage
from sedmtl.data.download import transfer
from sedmtl.data.download.catalogue import CORPORA, Archive
from sedmtl.runtime.errors import SedmtlError
from sedmtl.runtime.lock import NAME as LOCK
from sedmtl.runtime.lock import folder_lock

DATA_YAML = Path(__file__).parent.parent / "data.yaml"
PUBLISHED = dict(CORPORA)
FSD, TAU = "FSDKaggle2018", "TAU-urban-acoustic-scenes-2019-development"

CONTENTS = {
    "fsdkaggle2018": {
        "FSDKaggle2018.meta.zip": {
            "FSDKaggle2018.meta/train_post_competition.csv": b"fname,label,manually_verified\n"
            b"a.wav,Dog,1\nb.wav,Gong,1\n"
        },
        "FSDKaggle2018.audio_train.zip": {
            "FSDKaggle2018.audio_train/a.wav": b"dog" * 300,
            "FSDKaggle2018.audio_train/b.wav": b"gong" * 300,
        },
    },
    "tau2019": {
        f"{TAU}.meta.zip": {
            f"{TAU}/meta.csv": b"filename\tscene_label\tidentifier\n"
            b"audio/park.wav\tpark\toslo-2\naudio/bus.wav\tbus\toslo-1\n"
        },
        f"{TAU}.audio.1.zip": {f"{TAU}/audio/park.wav": b"park" * 500},
        f"{TAU}.audio.2.zip": {f"{TAU}/audio/bus.wav": b"bus" * 500},
    },
}


class World:
    """Small corpora instead of the published ones, a server that has them, an empty folder."""

    def __init__(self, server, folder, monkeypatch):
        self.server = server
        self.data = folder / "data"
        self._monkeypatch = monkeypatch
        for name, archives in CONTENTS.items():
            server.files |= {file: zipped(content) for file, content in archives.items()}
            self.publish(name, *archives)

    def publish(self, name, *files, exact=True):
        """Make the catalogue list the server's current files of these names."""
        archives = tuple(
            Archive(file, hashlib.md5(content).hexdigest(), len(content), exact)
            for file in files
            for content in [self.server.files[file]]
        )
        corpus = replace(PUBLISHED[name], archives=archives, n_unpacked_bytes=10_000, n_files=10)
        self._monkeypatch.setitem(CORPORA, name, corpus)

    def download(self, *arguments, mirror=True):
        source = ["--mirror", self.server.url] if mirror else []
        return invoke(
            ["download", *map(str, arguments), "--accept-license", "--to", str(self.data), *source]
        )

    def verify(self, *names):
        return invoke(["verify", *names, "--to", str(self.data)])

    def files(self):
        """Everything in the folder except the lock."""
        return {name: c for name, c in tree(self.data).items() if name != LOCK}

    @property
    def park(self):
        return self.data / TAU / "audio" / "park.wav"


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.0)
    with local_server() as server:
        yield World(server, tmp_path, monkeypatch)


def done(result):
    assert result.exit_code == 0, result.output
    return result


# --- The catalogue -------------------------------------------------------------------------------


def test_the_archives_of_tau2019_have_the_size_of_the_record():
    documentation = 11_299  # the only file of the record that is not needed
    assert PUBLISHED["tau2019"].n_bytes + documentation == 35_622_537_482
    assert PUBLISHED["tau2019"].exact


def test_every_archive_has_a_name_and_a_checksum_of_its_own():
    archives = [archive for corpus in PUBLISHED.values() for archive in corpus.archives]
    assert len(archives) == 2 + 22
    for facts in ({a.name for a in archives}, {a.md5 for a in archives}):
        assert len(facts) == len(archives)
    for archive in archives:
        assert len(bytes.fromhex(archive.md5)) == 16


def test_the_addresses_are_those_of_the_records():
    corpus = PUBLISHED["fsdkaggle2018"]
    assert corpus.url(corpus.archives[0]) == (
        "https://zenodo.org/records/2552860/files/FSDKaggle2018.meta.zip?download=1"
    )
    assert corpus.page == "https://doi.org/10.5281/zenodo.2552860"
    assert corpus.url(corpus.archives[0], "https://a.org/b/") == (
        "https://a.org/b/FSDKaggle2018.meta.zip"
    )


def test_corpora_go_where_the_data_yaml_of_the_repository_looks_for_them():
    corpora = yaml.safe_load(DATA_YAML.read_text())["corpus"]
    for settings in (corpora["events"], corpora["scenes"]):
        assert settings["root"] == f"data/{PUBLISHED[settings['kind']].folder}"


# --- Before the download -------------------------------------------------------------------------


def test_without_names_it_lists_the_corpora(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = done(invoke(["download"])).stdout
    for part in ("fsdkaggle2018", "about 4.5 GB", "Creative Commons", "zenodo.2552860",
                 "tau2019", "35.6 GB", "non-commercial", "zenodo.2589280"):  # fmt: skip
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_nothing_happens_before_the_licence_is_accepted(world, one_sentence):
    to = str(world.data)
    result = invoke(["download", "tau2019", "--to", to, "--mirror", world.server.url])
    one_sentence(result, "--accept-license")
    assert "non-commercial" in result.stderr
    assert "10.0 kB unpacked" in result.stderr
    assert not world.data.exists()
    assert world.server.requests == []


def test_size_and_licence_are_shown_when_it_is_accepted_too(world):
    text = done(world.download("tau2019")).stderr
    assert text.index("non-commercial") < text.index("as published")


@pytest.mark.parametrize(
    "arguments",
    [
        ["esc50"],
        ["tau2019", "--mirror", "http://a.org", "--from", "x"],
        ["tau2019", "--mirror", "file:///etc"],
    ],
)
def test_wrong_usage_exits_with_2(arguments):
    assert invoke(["download", *arguments]).exit_code == 2


# --- Without failures ----------------------------------------------------------------------------


def test_the_corpora_are_there_and_read_as_published(world, tmp_path):
    result = done(world.download("fsdkaggle2018", "tau2019"))
    assert result.stdout.split() == [str(world.data / FSD), str(world.data / TAU)]
    text = DATA_YAML.read_text().replace("root: data/", f"root: {world.data}/")
    (tmp_path / "data.yaml").write_text(text)
    config = load_config(tmp_path / "data.yaml")
    for recordings in (load_events(config), load_scenes(config)):
        assert len(recordings) == 2
        assert all(recording.path.stat().st_size > 0 for recording in recordings)


def test_only_the_files_and_their_manifest_stay(world):
    done(world.download("tau2019"))
    assert world.files().keys() == {
        f"{TAU}.manifest.json",
        f"{TAU}/meta.csv",
        f"{TAU}/audio/park.wav",
        f"{TAU}/audio/bus.wav",
    }


def test_finished_downloads_are_not_repeated(world):
    done(world.download("tau2019"))
    n_requests = len(world.server.requests)
    done(world.download("tau2019"))
    assert len(world.server.requests) == n_requests == 3


def test_a_file_name_from_the_server_is_ignored(world):
    evil = {"Content-Disposition": 'attachment; filename="../evil.zip"'}
    world.server.replies = [Reply(headers=evil)] * 3
    done(world.download("tau2019"))
    assert {path.name for path in world.data.parent.iterdir()} == {"data"}
    assert not any("evil" in name for name in world.files())


def test_two_connections_are_open_and_never_more(world):
    files = [f"{n}.zip" for n in range(6)]
    world.server.files |= {name: zipped({name: b"x"}) for name in files}
    world.publish("tau2019", *files)
    both = threading.Barrier(2, timeout=10)
    world.server.replies = [Reply(hold=both.wait)] * len(files)
    done(world.download("tau2019"))
    assert world.server.busiest == 2


def test_kept_archives_serve_again(world):
    done(world.download("tau2019", "--keep-archives"))
    for name in CONTENTS["tau2019"]:
        assert (world.data / name).read_bytes() == world.server.files[name]
    world.park.unlink()
    n_requests = len(world.server.requests)
    done(world.download("tau2019"))
    assert world.park.exists()
    assert len(world.server.requests) == n_requests
    assert (world.data / f"{TAU}.audio.1.zip").exists()


def test_archives_of_a_folder_serve_and_stay(world, tmp_path):
    folder = tmp_path / "archives"
    folder.mkdir()
    for name in CONTENTS["tau2019"]:
        (folder / name).write_bytes(world.server.files[name])
    before = tree(folder)
    done(world.download("tau2019", "--from", folder, mirror=False))
    assert world.park.exists()
    assert tree(folder) == before
    assert world.server.requests == []


def test_archives_that_a_folder_lacks_are_named_and_then_downloaded(world, tmp_path, one_sentence):
    folder = tmp_path / "archives"
    folder.mkdir()
    name = f"{TAU}.audio.1.zip"
    for there in set(CONTENTS["tau2019"]) - {name}:
        (folder / there).write_bytes(world.server.files[there])
    result = world.download("tau2019", "--from", folder, mirror=False)
    one_sentence(result, str(folder / name), "without --from")
    done(world.download("tau2019"))
    assert world.server.names == [name]


# --- With failures -------------------------------------------------------------------------------


def test_temporary_server_failures_are_outlasted(world):
    cut = Reply(cut_at=40)
    busy = Reply(status=429, headers={"Retry-After": "0"})
    world.server.replies = [cut, busy, Reply(status=503), Reply(ignores_range=True), cut, cut]
    done(world.download("fsdkaggle2018", "tau2019"))
    done(world.verify())


def test_a_download_that_was_given_up_resumes(world, monkeypatch, one_sentence):
    monkeypatch.setattr(transfer, "N_TRIES", 1)
    world.publish("tau2019", f"{TAU}.audio.1.zip")
    world.server.replies = [Reply(cut_at=50)]
    one_sentence(world.download("tau2019"), "gave up", "the same command resumes there")
    assert not world.park.exists()
    done(world.download("tau2019"))
    assert world.server.ranges == [None, "bytes=50-"]
    done(world.verify())


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume_and_the_same_command_does(world, tmp_path):
    name = f"{TAU}.audio.1.zip"
    world.publish("tau2019", name)
    archive = CORPORA["tau2019"].archives[0]
    reached, released = threading.Event(), threading.Event()
    world.server.replies = [Reply(cut_at=60), Reply(hold=lambda: (reached.set(), released.wait()))]
    code = (
        "import sys\n"
        "from dataclasses import replace\n"
        "from sedmtl.data.download import connection, transfer\n"
        "from sedmtl.data.download.catalogue import CORPORA, Archive\n"
        "transfer.FIRST_WAIT_S, connection.TIMEOUT_S = 0.0, 0.5\n"
        f"archives = (Archive({archive.name!r}, {archive.md5!r}, {archive.n_bytes}),)\n"
        "CORPORA['tau2019'] = replace(CORPORA['tau2019'], archives=archives, "
        "n_unpacked_bytes=10_000)\n"
        "from sedmtl.cli.app import app\n"
        "app(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "download", "tau2019", "--accept-license", "--to",
               world.data, "--mirror", world.server.url]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert reached.wait(20)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    released.set()
    assert process.returncode == 130
    assert "rerun the same command to resume it" in errors
    assert "Traceback" not in errors
    assert (world.data / f".{name}.part").stat().st_size == 60
    done(world.download("tau2019"))
    assert world.server.ranges[-1] == "bytes=60-"
    assert world.park.exists()


def test_a_wrong_file_names_both_sums_and_nothing_of_it_is_unpacked(world, one_sentence):
    name = f"{TAU}.audio.1.zip"
    right = world.server.files[name]
    world.server.files[name] = wrong = right[:-1] + bytes([right[-1] ^ 1])
    sums = [hashlib.md5(content).hexdigest() for content in (right, wrong)]
    one_sentence(world.download("tau2019"), *sums, f"{world.server.url}/{name}", "--mirror")
    assert not world.park.exists()
    assert not (world.data / f".{name}.part").exists()
    assert (world.data / TAU / "audio" / "bus.wav").exists()
    assert world.server.names.count(name) == 1


def test_parts_that_do_not_fit_are_fetched_once_more_as_a_whole(world):
    name = f"{TAU}.audio.1.zip"
    world.publish("tau2019", name)
    world.data.mkdir()
    (world.data / f".{name}.part").write_bytes(b"of another file")
    assert "do not fit each other" in done(world.download("tau2019")).stderr
    assert world.server.ranges == ["bytes=15-", None]
    done(world.verify())


def test_a_file_that_stays_wrong_is_not_fetched_a_third_time(world, one_sentence):
    name = f"{TAU}.audio.1.zip"
    world.publish("tau2019", name)
    world.server.files[name] = bytes(len(world.server.files[name]))
    world.data.mkdir()
    (world.data / f".{name}.part").write_bytes(b"of another file")
    one_sentence(world.download("tau2019"), "MD5")
    assert len(world.server.requests) == 2


def test_a_wrong_archive_of_the_users_is_named_and_left_alone(world, one_sentence):
    path = world.data / f"{TAU}.audio.1.zip"
    world.data.mkdir()
    path.write_bytes(b"half a download of a browser")
    one_sentence(world.download("tau2019"), str(path), "move it away")
    assert path.read_bytes() == b"half a download of a browser"


def test_an_estimated_size_is_not_binding(world):
    files = list(CONTENTS["fsdkaggle2018"])
    world.publish("fsdkaggle2018", *files, exact=False)
    corpus = CORPORA["fsdkaggle2018"]
    rough = tuple(replace(a, n_bytes=round(0.6 * a.n_bytes)) for a in corpus.archives)
    CORPORA["fsdkaggle2018"] = replace(corpus, archives=rough)
    done(world.download("fsdkaggle2018"))
    done(world.verify())


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (zipped({"../evil": b"1"}), "does not stay in the folder"),
        (zipped({"zeros": bytes(19_000)}), "expected at most"),
        (zipped({"a": b"1" * 100})[:-30], "not a complete ZIP file"),
        (zipped({str(n): b"" for n in range(1021)}), "at most 1,020 files"),
    ],
    ids=["path", "bomb", "cut", "files"],
)
def test_an_archive_that_is_as_published_and_bad_is_refused(world, one_sentence, content, part):
    name = f"{TAU}.audio.1.zip"
    world.server.files[name] = content
    world.publish("tau2019", *CONTENTS["tau2019"])
    one_sentence(world.download("tau2019"), part)
    assert (world.data / TAU / "audio" / "bus.wav").exists()
    assert {path.name for path in world.data.parent.iterdir()} == {"data"}
    one_sentence(world.verify(), "tau2019: not as published")


def test_an_archive_that_fails_leaves_the_others_and_alone_is_fetched_again(world, one_sentence):
    gone = [f"{TAU}.audio.1.zip", f"{TAU}.meta.zip"]
    kept = {name: world.server.files.pop(name) for name in gone}
    result = world.download("tau2019")
    one_sentence(result, "2 archives could not be downloaded", "the same command")
    assert all(f"{name}: the server answers 404" in result.stderr for name in gone)
    assert (world.data / TAU / "audio" / "bus.wav").exists()
    world.server.files |= kept
    world.server.requests.clear()
    done(world.download("tau2019"))
    assert sorted(world.server.names) == sorted(gone)


def test_an_unreachable_server_is_not_asked_for_every_archive(world, monkeypatch):
    monkeypatch.setattr(transfer, "N_TRIES", 1)
    files = [f"{n}.zip" for n in range(20)]
    world.server.files |= {name: zipped({name: b"x"}) for name in files}
    world.publish("tau2019", *files)
    world.server.replies = [Reply(status=503)] * 100
    result = world.download("tau2019")
    assert result.exit_code == 1
    assert "gave up" in result.stderr
    assert len(world.server.requests) <= stage.N_CONNECTIONS


@pytest.mark.parametrize("keep", [False, True])
def test_a_disk_that_is_too_small_is_reported_first_with_the_figures(
    world, monkeypatch, one_sentence, keep
):
    sizes = sorted(archive.n_bytes for archive in CORPORA["tau2019"].archives)
    needed = 10_000 + sum(sizes if keep else sizes[-2:])  # two archives at a time
    disk = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(stage, "shutil", SimpleNamespace(disk_usage=lambda _: disk))
    arguments = ["tau2019", *(["--keep-archives"] if keep else [])]
    figures = [f"{n / 1000:.1f} kB" for n in (needed, 10_000, needed - 10_000, needed - 1)]
    one_sentence(world.download(*arguments), *figures, "--to")
    assert world.server.requests == []
    disk.free = needed
    done(world.download(*arguments))


def test_existing_files_need_no_space(world, monkeypatch):
    done(world.download("tau2019"))
    monkeypatch.setattr(
        stage, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=0))
    )
    done(world.download("tau2019"))


def test_another_download_in_the_folder_is_refused(world, one_sentence):
    with folder_lock(world.data, "sedmtl download"):
        one_sentence(
            world.download("tau2019"),
            f"{world.data} is in use by 'sedmtl download', process",
            "wait",
        )
    done(world.download("tau2019"))


# --- verify --------------------------------------------------------------------------------------


def test_downloaded_files_verify(world):
    done(world.download("fsdkaggle2018", "tau2019"))
    lines = done(world.verify()).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["corpus", "files", "fine", "missing", "changed"],
        ["fsdkaggle2018", "3", "3", "0", "0"],
        ["tau2019", "3", "3", "0", "0"],
    ]


def test_missing_and_changed_files_are_listed_and_a_download_repairs_them(world, one_sentence):
    done(world.download("tau2019"))
    world.park.write_bytes(b"bark" * 500)
    (world.data / TAU / "meta.csv").unlink()
    result = world.verify("tau2019")
    one_sentence(result, "delete the changed files", "sedmtl download tau2019")
    assert result.stdout.splitlines()[:2] == [
        f"missing {world.data / TAU / 'meta.csv'}",
        f"changed {world.park}",
    ]
    assert result.stdout.splitlines()[-1].split() == ["tau2019", "3", "1", "1", "1"]
    world.park.unlink()
    world.server.requests.clear()
    done(world.download("tau2019"))
    assert sorted(world.server.names) == [f"{TAU}.audio.1.zip", f"{TAU}.meta.zip"]
    done(world.verify())


def test_an_archive_that_never_arrived_is_missing(world, one_sentence):
    name = f"{TAU}.audio.1.zip"
    del world.server.files[name]
    assert world.download("tau2019").exit_code == 1
    result = world.verify()
    one_sentence(result, "tau2019")
    assert f"missing all of {name}" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["tau2019", "2", "2", "1", "0"]


def test_only_existing_corpora_are_verified_unless_named(world, one_sentence):
    one_sentence(world.verify(), "expected the manifest", "sedmtl download")
    done(world.download("tau2019"))
    assert "fsdkaggle2018" not in done(world.verify()).stdout
    one_sentence(world.verify("fsdkaggle2018"), f"{FSD}.manifest.json")


def test_an_unreadable_manifest_is_one_sentence(world, one_sentence):
    done(world.download("tau2019"))
    (world.data / f"{TAU}.manifest.json").write_text("{")
    for result in (world.verify(), world.download("tau2019")):
        one_sentence(result, "is no manifest of tau2019", "move it away")


def test_no_licence_means_no_lock_and_no_folder(tmp_path):
    with pytest.raises(SedmtlError):
        stage.download([PUBLISHED["tau2019"]], stage.DownloadOptions(tmp_path / "data"))
    assert not (tmp_path / "data").exists()
