"""Random damage to files, from a seed."""

import copy

import numpy as np

ODD = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    10**30,
    "",
    "x",
    "\0" * 9,
    [],
    {},
    [[]],
    [None],
    {"array": 1},
    "9" * 999,
)


def of_bytes(data, rng):
    """Bytes with some of them changed, cut off, doubled, put in or left out."""
    place, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    way = rng.integers(6)
    noise = rng.integers(256, size=size, dtype=np.uint8).tobytes()
    if way == 0:
        return data[:place]
    if way == 1:
        return data[:place] + data[place + size :]
    if way == 2:
        return data[:place] + noise + data[place:]
    if way == 3:
        return data[: place + size] + data[place:]
    changed = bytearray(data)
    for one in rng.integers(len(data), size=1 if way == 4 else 20):
        changed[one] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def of_json(value, rng):
    """A copy of a tree of JSON with one node replaced, left out, doubled or renamed."""
    root = {"": copy.deepcopy(value)}
    places = list(_places(root))
    holder, key = places[int(rng.integers(len(places)))]
    way = rng.integers(4)
    if way == 0 and holder is not root:
        del holder[key]
    elif way == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif way == 2 and isinstance(holder, dict) and holder is not root:
        holder[f"{key}_"] = holder.pop(key)
    else:
        holder[key] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
    return root[""]


def _places(node):
    for key, item in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(item, dict | list):
            yield from _places(item)


def of_arrays(arrays, rng):
    """Arrays of which one has another type, shape or name, holds no numbers, or has changed places."""
    arrays = dict(arrays)
    name, other = rng.choice(sorted(arrays), 2, replace=False)
    array = arrays[name]
    way = rng.integers(7)
    if way == 0:
        arrays[name] = array.astype(rng.choice(["float16", "float64", "int8", "uint64", "bool"]))
    elif way == 1:
        arrays[name] = array[..., None]
    elif way == 2:
        arrays[name] = array.reshape(-1)[:-1]
    elif way == 3:
        arrays[name] = np.full(array.shape, np.nan, np.float32)
    elif way == 4:
        arrays[name], arrays[other] = arrays[other], array
    elif way == 5:
        arrays[f"{name}_"] = arrays.pop(name)
    else:
        arrays[name] = np.resize(array, (*array.shape, 3))
    return arrays
