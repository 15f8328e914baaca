"""The reader of PowerShell that judges our scripts: what it refuses, and what it does not take for something else."""

import pytest

from tests.powershell import Fault, cmdlets, read


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Write-Host 'a\nb'", 1),
        ("\n\"a", 2),
        ("if ($a) {\n  Write-Host 'x'\n", 1),
        ("Write-Host 'x'\n}", 2),
        ("$a = @(1, 2}", 1),
        ("Write-Host `  \n  'x'", 1),
        ("Write-Host a`b", 1),
        ("<# never closed", 1),
        ("$a = @'x\n'@", 1),
        ("$a = @'\nx\n  '@\n", 1),
        ('Write-Host "to $Name:$Port"', 1),
        ('Write-Host "all $(Get-X { 1 )"', 1),
        ('Write-Host "all $(1"', 1),
        ("Set-X @never", 1),
        ('Write-Host "of $found.Name"', 1),
        ("Get-X\nGet-Y -Name 'a' -name 'b'", 2),
        ("Get-X\ncontineu", 2),
        ("if ($a) { retrun }", 1),
        ("get-transportrule", 1),
        ("$a = ", 1),
        ("$a = 'x' 'y'", 1),
        ("$a = @(\n'a',\n'b' 'c')", 3),
        ("param($a $b)", 1),
        ("if { Get-X }", 1),
        ("if () { Get-X }", 1),
        ("if ($a) Get-X", 1),
        ("if ($a == 1) { Get-X }", 1),
        ("if ($a -eq) { Get-X }", 1),
        ("if ($a -startswith 'x') { Get-X }", 1),
        ("if ($a && $b) { Get-X }", 1),
        ("foreach ($a in ) { Get-X }", 1),
        ("else { Get-X }", 1),
        ("try { Get-X }\nGet-Y", 1),
        ("Get-X | | Get-Y", 1),
        ("Get-X |\n", 1),
        ("$a = @{\nOne = \n}", 2),
        ("$a = @{ One = 1 Two = 2 }", 1),
        ("$a = @{\nOne = 1\none = 2\n}", 3),
    ],
)  # fmt: skip
def test_what_is_no_powershell_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Fault, match=rf"^line {line}: "):
        read(text)


def test_quotes_mean_what_about_quoting_rules_says() -> None:
    script = read("$a = 'o''brien \u2019\u2019 $x `' ; $b = \"say \"\"$x\"\" `\"${a}:$(Get-X 'q')\"\n$c = @'\nit's\n'@")
    assert script.strings() == ["o'brien \u2019 $x `", 'say ""$x"" `"${a}:$(Get-X \'q\')', "it's"]


def test_comments_begin_only_where_a_token_could() -> None:
    script = read("Get-X a#b # one\n<# two\nlines #> Get-Y\n'#' # three")
    assert script.comments == {1: "# one", 2: "<# two\nlines #>", 4: "# three"}
    assert [one.name for one in script.commands] == ["Get-X", "Get-Y"]


def test_a_backtick_at_the_end_goes_on_with_the_line() -> None:
    (command,) = read("Get-X -Name 'a' `\n  -Server 'b'\n").commands
    assert command.parameters == {"Name": "'a'", "Server": "'b'"}


def test_what_our_scripts_may_say_is_no_fault() -> None:
    text = """\
param([switch] $All, [string] $Name = 'a')
function Get-Own { param($One); return @(, $One) }
if (-not $All -and $Name.StartsWith('a') -or @(Get-Own 1).Count -gt 0) {
    try { Get-Own -One ([string] $Name) | Out-Null } catch { throw "no $($Name.Length) of $Name. Sorry." }
} elseif ($n - 1 -gt 0 -or $Name -cne 'b') { continue } else { $n++ }
foreach ($one in @{ 'a' = 1; B = Get-Own 2 }.Keys) { $list += [System.Convert]::ToBase64String([byte[]] $one) }
"""
    assert [one.name for one in read(text).commands] == ["Get-Own", "Get-Own", "Out-Null", "Get-Own"]


def test_parameters_are_found_through_tables_lists_and_loops() -> None:
    text = """\
$s = @{ Old = 1 }
Set-A @s
$s = @{ Name = 'x'; Deep = @{ No = 1 } }
$s.More = 2
Set-A -Id ($x -eq 1) -Confirm:$false @s | Out-Null
$r = @(
    @{ One = 1 }
)
$r += @{ Two = 2 }
foreach ($e in $r) { if ($e) { New-B @e -Last 3 } }
"""
    calls = read(text).calls("Set-A", "New-B")
    assert [set(one.parameters) for one in calls] == [
        {"Old"},
        {"Id", "Confirm", "Name", "Deep", "More"},
        {"One", "Two", "Last"},
    ]


def test_a_cmdlet_that_is_only_named_is_no_command() -> None:
    script = read("Get-Command -Name Get-SendConnector\nWrite-Host 'New-X'\n")
    assert [one.name for one in script.commands] == ["Get-Command", "Write-Host"]


def test_what_the_reference_has_not_is_told() -> None:
    lines = ("Set-MailContact -UserCertificate $a -Colour 'red'", "New-SendConnector", "Get-Nothing")
    text = "\n".join([*lines, "function Set-Own { }", "Set-Own -X 1", ""])
    assert read(text).unknown("server") == [
        "line 1: Set-MailContact -UserCertificate",
        "line 1: Set-MailContact -Colour",
        "line 3: Get-Nothing",
    ]
    assert "line 2: New-SendConnector" in read(text).unknown("online")
    assert read("Set-TransportRule -RuleErrorAction 'Later'\n").unknown("online") == [
        "line 1: Set-TransportRule -RuleErrorAction 'Later'"
    ]


def test_lines_without_a_comment_are_told() -> None:
    assert read("# one\nGet-X\nGet-Y  # two\nGet-Z\n}".replace("}", "")).uncommented() == ["line 4: Get-Z"]


def test_the_reference_names_its_sources() -> None:
    for name, entry in cmdlets().items():
        assert entry["source"].startswith("https://learn.microsoft.com/powershell/module/"), name
        assert entry["source"].endswith("/" + name.lower())
        assert set(entry["where"].split()) <= {"server", "online"}
