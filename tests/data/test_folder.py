import numpy as np
import pytest
from PIL import Image

from gossipfl.data.folder import read_folder
from gossipfl.errors import DataError


def save(path, color, mode="L", size=(3, 2), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        save(tmp_path / "cats" / f"{i}.png", 10 * i)
        save(tmp_path / "dogs" / f"{i}.png", 100 + i)
    return tmp_path


def test_folders_are_classes(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "cats" / "a.txt").write_text("not an image")
    read = read_folder(folder, "folder:x")
    examples = read.examples["train"]
    assert examples.x.shape == (6, 2, 3, 1)
    assert examples.x.dtype == np.uint8
    assert examples.x[:, 1, 2, 0].tolist() == [0, 10, 20, 100, 101, 102]
    assert examples.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert read.class_names == ("cats", "dogs")
    assert read.notes[0] == "read as folders of images: 6 images in 2 classes, 2x3x1"
    assert read.notes[1] == "not used in cats/: 1, such as a.txt"
    assert read.notes[2].endswith(": 1, such as notes.txt")


def test_parts_have_folders_of_their_own(tmp_path):
    for part, count in (("train", 3), ("test", 2), ("validation", 1), ("other", 1)):
        for label, name in enumerate(("a", "b")):
            for i in range(count):
                save(tmp_path / part / name / f"{i}.png", label)
    read = read_folder(tmp_path, "folder:x")
    assert {part: len(examples) for part, examples in read.examples.items()} == {"train": 6, "test": 4, "validation": 2}
    assert all((examples.x[:, 0, 0, 0] == examples.y).all() for examples in read.examples.values())
    assert "1, such as other" in read.notes[-1]
    save(tmp_path / "test" / "c" / "0.png", 2)
    with pytest.raises(DataError, match="test has the folder 'c', and no training images are of that class"):
        read_folder(tmp_path, "folder:x")


def test_colors_and_sizes(folder):
    save(folder / "cats" / "red.jpg", (255, 0, 0), "RGB", quality=100)
    save(folder / "cats" / "clear.png", (0, 0, 255, 7), "RGBA")
    read = read_folder(folder, "folder:x")
    assert read.examples["train"].x.shape == (8, 2, 3, 3)
    assert "6 of 8 images are grey and have three equal channels now, as others have colors" in read.notes
    assert "1 of 8 images have transparency, which is left out" in read.notes
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "cats" / "turned.jpg", 0, size=(6, 4), exif=exif)
    with pytest.raises(DataError, match=r"most have 2x3, and .*turned.jpg has 4x6: give data.image_size"):
        read_folder(folder, "folder:x")
    resized = read_folder(folder, "folder:x", (2, 3))
    assert "1 of 9 images were brought to 2x3 from sizes of their own" in resized.notes
    assert "1 of 9 images are marked as to be turned (EXIF), which is not done" in resized.notes


def test_what_is_no_image_is_refused_by_name(folder, monkeypatch):
    whole = (folder / "dogs" / "1.png").read_bytes()
    for content in (b"", b"text", whole[:-30], whole[:30], whole[:12] + bytes(len(whole) - 12)):
        (folder / "dogs" / "1.png").write_bytes(content)
        with pytest.raises(DataError, match=r"dogs/1.png is not a readable image"):
            read_folder(folder, "folder:x")
    save(folder / "dogs" / "1.png", 4000, "I;16")
    with pytest.raises(DataError, match="pixels of mode I;16, which 8 bits do not hold"):
        read_folder(folder, "folder:x")
    save(folder / "dogs" / "1.png", 0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    with pytest.raises(DataError, match="exceeds limit of 3 pixels"):
        read_folder(folder, "folder:x")


def test_folders_that_hold_no_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match="is not a directory; expected one with a folder of images per class"):
        read_folder(tmp_path / "nothing", "folder:x")
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="has 1 folders, expected one per class, at least two"):
        read_folder(tmp_path, "folder:x")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="there are no images in the folders of"):
        read_folder(tmp_path, "folder:x")
