# pragma version ~=0.4.3
"""
@title median
@license AGPL-3.0-only
@notice Medians of a few numbers. Owns no storage.
"""

MAX: constant(uint256) = 9


@pure
@internal
def of_three(a: uint256, b: uint256, c: uint256) -> uint256:
    return max(min(a, b), min(max(a, b), c))


@pure
@internal
def of(numbers: DynArray[uint256, MAX]) -> uint256:
    """
    @notice The middle one; of an even count the mean of the two in the middle, rounded down.
            `numbers` must not be empty.
    """
    sorted: DynArray[uint256, MAX] = self._sorted(numbers)
    half: uint256 = len(sorted) // 2
    if len(sorted) % 2 == 1:
        return sorted[half]
    return (sorted[half - 1] + sorted[half]) // 2


@pure
@internal
def nth(numbers: DynArray[uint256, MAX], place: uint256) -> uint256:
    """
    @notice The number at `place`, from 0, once they stand in rising order.
    """
    return self._sorted(numbers)[place]


@pure
@internal
def _sorted(numbers: DynArray[uint256, MAX]) -> DynArray[uint256, MAX]:
    sorted: DynArray[uint256, MAX] = []
    for number: uint256 in numbers:
        sorted.append(number)
        place: uint256 = len(sorted) - 1
        for _: uint256 in range(MAX):
            if place == 0 or sorted[place - 1] <= number:
                break
            sorted[place] = sorted[place - 1]
            place -= 1
        sorted[place] = number
    return sorted
